//! See `wardline_fuzz::hl7`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wardline_fuzz::hl7::run(data));
