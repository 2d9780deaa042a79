//! See `probe::fuzzing::spool`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| probe::fuzzing::spool(bytes));
