//! See `wardline_fuzz::records`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wardline_fuzz::records::run(data));
