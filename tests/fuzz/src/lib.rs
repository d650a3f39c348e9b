//! The parts of corelane that are fuzzed, compiled from their sources.
//!
//! Floor 1 stands alone, so it needs neither the ring nor the database: only
//! what is fuzzed is built and instrumented, and no C compiler is needed.

#[path = "../../../src/clock.rs"]
pub mod clock;
#[path = "../../../src/error.rs"]
pub mod error;
#[path = "../../../src/limits/mod.rs"]
pub mod limits;

#[path = "../../../src/http1/mod.rs"]
pub mod http1;
#[path = "../../../src/router/mod.rs"]
pub mod router;
#[path = "../../../src/semantics/mod.rs"]
pub mod semantics;
#[path = "../../../src/static_path/mod.rs"]
pub mod static_path;

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
