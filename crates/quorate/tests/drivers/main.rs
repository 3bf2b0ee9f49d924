//! The drivers on real processes and a real QEMU.
//!
//! Needs `qemu-system-x86_64`, `qemu-nbd` (or `QUORATE_TEST_QEMU=/path/to/qemu`), `as` and `ld`.

mod process;
mod qemu;
mod support;
