//! Rows that readers hold are not written anew, and their memory serves again when they are let go. In a process of its
//! own: memory is kept for all buffers of a process together.

use millstream_core::buffer::{Buffer, View};
use millstream_core::table::Table;

const ROWS: usize = 10_000;

/// Fills the next segment.
fn turn_over(buffer: &mut Buffer) {
    for row in 0..ROWS {
        buffer.append_row(&[row as f64, 0.5]).unwrap();
    }
}

/// All rows, which stand in one segment, and where.
fn whole(view: &View) -> (Table, usize) {
    let rows = view.snapshot(None);
    let address = rows.contiguous(0).expect("one segment").0.as_ptr().addr();
    (rows, address)
}

#[test]
fn memory_that_a_reader_held_serves_later_rows() {
    let names = ["a", "b"].map(String::from);
    let mut buffer = Buffer::new(ROWS as i64, Some(&names), &[], &[], None).unwrap();
    let view = buffer.view();
    let rows = vec![0.25; 2 * ROWS];
    let table = Table::from_matrix(millstream_core::matrix::Matrix::Rows(&rows), ROWS, 2, &[]);
    buffer.append(&table.unwrap()).unwrap();
    let (held, at) = whole(&view);
    for _ in 0..5 {
        turn_over(&mut buffer);
        assert_ne!(whole(&view).1, at, "held");
    }
    assert_eq!(*held.floats(0).unwrap(), vec![0.25; ROWS]);
    drop(held);
    // As long as nobody holds anything, the segments that there are take turns; what is held now makes room for it.
    let (mut holding, mut addresses) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let (rows, address) = whole(&view);
        holding.push(rows);
        addresses.push(address);
        turn_over(&mut buffer);
    }
    assert!(addresses.contains(&at), "{at} in {addresses:?}");
}
