//! Bytes that claim to be a device's answer, a lease slot, a heartbeat: an error or something that the bytes can hold;
//! never a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quorate_storage::testing::hostile;

fuzz_target!(|bytes: &[u8]| hostile::answer(bytes));
