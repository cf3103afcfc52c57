//! The IDX reader on any bytes: an error or a file, never a panic.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(idx) = blindspot_data::parse_idx(bytes) {
        assert_eq!(idx.values.len(), idx.shape.iter().product::<usize>());
    }
});
