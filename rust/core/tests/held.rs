//! Rows that readers hold are not written anew, and their memory serves again when they are let go. In a process of its
//! own: memory is kept for all buffers of a process together.

use millstream_core::buffer::{Buffer, View};
use millstream_core::matrix::Matrix;
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
    let table = Table::from_matrix(Matrix::Rows(&rows), ROWS, 2, &[]);
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

/// In pieces so large that the test above has no use for them.
#[test]
fn memory_that_one_append_displaced_serves_the_next() {
    const COLUMNS: usize = 9;
    let mut buffer = Buffer::new(5 * ROWS as i64, None, &[], &[], None).unwrap();
    let rows = |count: usize| {
        Table::from_matrix(Matrix::Rows(&vec![0.25; count * COLUMNS]), count, COLUMNS, &[]).unwrap()
    };
    for _ in 0..2 {
        buffer.append(&rows(5 * ROWS)).unwrap();
    }
    // The first of these segments is the one kept aside for rows that come singly. The second, of which a hundredth is
    // written, would take pages for as much if it were new.
    buffer.append(&rows(ROWS + 100)).unwrap();
    let whole = ROWS * COLUMNS * size_of::<f64>();
    let held = buffer.view().memory_bytes();
    // With the segment that they displaced, which is kept aside.
    assert!((7 * whole..8 * whole).contains(&held), "{held}");
}
