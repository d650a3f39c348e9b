//! What the fuzz targets share. They need `corelane-proto` alone: neither the
//! ring nor a database is built and instrumented, and no C compiler is needed.

pub use corelane_proto::{http, http1, router, semantics, static_path};

/// Cuts `input` into pieces whose sizes are drawn from `seed`, so that the
/// fuzzer steers the cuts: one byte at a time for an even seed.
pub fn pieces(input: &[u8], seed: u8) -> Vec<&[u8]> {
    let (mut rest, mut pieces, mut random) = (input, Vec::new(), u32::from(seed));
    while !rest.is_empty() {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let size = if seed % 2 == 0 {
            1
        } else {
            1 + (random >> 24) as usize % 23
        };
        let (piece, after) = rest.split_at(size.min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}
