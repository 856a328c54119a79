//! Rows in, features out: the part of millstream that touches numbers.
//!
//! Pure Rust, no Python and no I/O: `cargo test -p millstream-core` needs neither.

#[cfg(not(loom))]
pub mod buffer;
#[cfg(not(loom))]
pub mod compute;
pub mod error;
pub mod features;
pub mod lag;
#[cfg(not(loom))]
pub mod matrix;
pub mod name;
#[cfg(all(target_os = "linux", not(miri)))]
mod pages;
pub mod ring;
pub mod rolling;
pub mod rows;
mod simd;
pub mod slab;
#[cfg(not(loom))]
pub mod table;
