//! The gzip coding (RFC 1952), whole bodies and streams.
//!
//! An encoder has about 300 KiB of state, which is set back instead of made
//! anew: for a body of a few KiB, making it would cost more than using it.

use std::fmt;

use flate2::{Compress, Compression, FlushCompress, Status};

/// Compresses one body after the other. The same body at the same level always
/// gives the same bytes, on whichever encoder.
///
/// ```
/// use corelane::internals::compression::GzipEncoder;
/// let mut encoder = GzipEncoder::new(1);
/// let body = "to be or not to be, ".repeat(100);
/// let coded = encoder.encode(body.as_bytes())?;
/// assert!(coded.len() < 100);
/// # Ok::<(), corelane::internals::compression::GzipError>(())
/// ```
#[derive(Debug)]
pub struct GzipEncoder {
    compress: Compress,
    level: u8,
    /// Between two bodies.
    is_clean: bool,
}

/// The compressor refused its input, which no input makes it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GzipError;

impl GzipEncoder {
    /// An encoder of this level, 1 (fastest) to 9 (smallest); what is out of
    /// that counts as the nearest.
    pub fn new(level: u8) -> Self {
        let level = level.clamp(1, 9);
        Self {
            compress: Compress::new_gzip(Compression::new(level.into()), WINDOW_BITS),
            level,
            is_clean: true,
        }
    }

    /// Its level.
    pub fn level(&self) -> u8 {
        self.level
    }

    /// Forgets the stream under way, if there is one.
    pub fn reset(&mut self) {
        if !self.is_clean {
            self.compress.reset();
            self.is_clean = true;
        }
    }

    /// A whole body.
    ///
    /// # Errors
    /// [`GzipError`].
    pub fn encode(&mut self, body: &[u8]) -> Result<Vec<u8>, GzipError> {
        self.reset();
        // A JSON list comes to a fifth or less; what does not grows once or twice.
        let mut out = Vec::with_capacity(body.len() / 4 + OUTPUT_STEP_BYTES);
        self.run(body, &mut out, FlushCompress::Finish)?;
        self.reset();
        Ok(out)
    }

    /// The next chunk of a stream, appended to `out` so that the client can
    /// decode all of it (a sync flush, about 5 bytes).
    ///
    /// # Errors
    /// [`GzipError`].
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), GzipError> {
        self.run(chunk, out, FlushCompress::Sync)
    }

    /// The end of a stream. The encoder is ready for another one.
    ///
    /// # Errors
    /// [`GzipError`].
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), GzipError> {
        self.run(&[], out, FlushCompress::Finish)?;
        self.reset();
        Ok(())
    }

    fn run(
        &mut self,
        mut input: &[u8],
        out: &mut Vec<u8>,
        flush: FlushCompress,
    ) -> Result<(), GzipError> {
        self.is_clean = false;
        loop {
            if out.capacity() == out.len() {
                out.reserve(OUTPUT_STEP_BYTES);
            }
            let taken_before = self.compress.total_in();
            let status = self.compress.compress_vec(input, out, flush);
            let status = status.map_err(|_| GzipError)?;
            let taken = (self.compress.total_in() - taken_before) as usize;
            input = input.get(taken..).ok_or(GzipError)?;
            // Room that was left says that there was nothing more to write.
            let is_done = match flush {
                FlushCompress::Finish => status == Status::StreamEnd,
                _ => input.is_empty() && out.len() < out.capacity(),
            };
            if is_done {
                return Ok(());
            }
            if out.len() < out.capacity() {
                // It neither goes on nor wants more room.
                return Err(GzipError);
            }
        }
    }
}

/// The largest; a smaller one saves memory and costs size.
const WINDOW_BITS: u8 = 15;
/// How much room the output gets at least each time it is full.
const OUTPUT_STEP_BYTES: usize = 256;

impl fmt::Display for GzipError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the gzip encoder refused its input")
    }
}

impl std::error::Error for GzipError {}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;

    fn decode(coded: &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        let mut decoder = flate2::bufread::GzDecoder::new(coded);
        decoder.read_to_end(&mut body).expect("gzip");
        assert!(decoder.into_inner().is_empty(), "bytes behind the end");
        body
    }

    /// What a client can read of a stream that goes on.
    fn decode_so_far(coded: &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        let mut decoder = flate2::bufread::GzDecoder::new(coded);
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = decoder.read(&mut buffer) {
            body.extend_from_slice(&buffer[..count]);
        }
        body
    }

    #[test]
    fn the_same_body_gives_the_same_bytes_whatever_came_before() {
        for level in 1..=9 {
            let mut used = GzipEncoder::new(level);
            used.push(b"a stream that is left", &mut Vec::new())
                .unwrap();
            let body = b"{\"id\":1,\"name\":\"Ada\"}".repeat(1_000);
            let fresh = GzipEncoder::new(level).encode(&body).unwrap();
            assert_eq!(used.encode(&body).unwrap(), fresh);
            assert_eq!(used.encode(&body).unwrap(), fresh);
            assert_eq!(decode(&fresh), body);
        }
    }

    #[test]
    fn a_level_out_of_range_is_the_nearest() {
        assert_eq!(GzipEncoder::new(0).level(), 1);
        assert_eq!(GzipEncoder::new(200).level(), 9);
    }

    /// Text with repetitions, and noise that does not shrink.
    fn body() -> impl Strategy<Value = Vec<u8>> {
        let noise = proptest::collection::vec(any::<u8>(), 0..5_000);
        let text = ("[a-z{}\":,]{1,20}", 0..400_usize);
        prop_oneof![
            noise,
            text.prop_map(|(text, times)| text.repeat(times).into_bytes())
        ]
    }

    proptest! {
        #[test]
        fn any_body_comes_back(body in body(), level in 1..=9_u8) {
            let mut encoder = GzipEncoder::new(level);
            prop_assert_eq!(decode(&encoder.encode(&body).unwrap()), body);
        }

        #[test]
        fn any_chunks_come_back_each_as_soon_as_it_is_sent(
            chunks in proptest::collection::vec(body(), 0..6),
            level in 1..=9_u8,
            room in 0..64_usize,
        ) {
            let mut encoder = GzipEncoder::new(level);
            let (mut coded, mut sent) = (Vec::with_capacity(room), Vec::new());
            for chunk in &chunks {
                encoder.push(chunk, &mut coded).unwrap();
                sent.extend_from_slice(chunk);
                prop_assert_eq!(&decode_so_far(&coded), &sent);
            }
            encoder.finish(&mut coded).unwrap();
            prop_assert_eq!(decode(&coded), sent);
        }
    }
}
