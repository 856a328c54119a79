//! Rows in, features out: the part of millstream that touches numbers.
//!
//! Pure Rust, no Python and no I/O: `cargo test -p millstream-core` needs neither.

pub mod buffer;
pub mod error;
pub mod features;
pub mod lag;
pub mod rolling;
pub mod rows;
pub mod table;
