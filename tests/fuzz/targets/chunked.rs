//! Chunked bodies: any cut gives the same body, end and error as the whole;
//! limits hold; what is accepted, written anew and read again is the same.
//!
//! Input: one byte that decides the cuts, one that decides the limit, then
//! what follows the head.
#![no_main]

use corelane_fuzz::http1::{
    BodyDecoder, BodyEvent, BodyFraming, ParseError, encode_chunk, encode_last_chunk,
};
use corelane_fuzz::pieces;
use libfuzzer_sys::fuzz_target;

/// Body so far, bytes consumed, and how it ended: `None` when it did not.
type Outcome = (Vec<u8>, usize, Option<Result<(), ParseError>>);

fuzz_target!(|data: &[u8]| {
    let [seed, limit, input @ ..] = data else {
        return;
    };
    let body_bytes_max = u64::from(*limit) * 4;
    let (body, consumed, end) = decode([input], body_bytes_max);
    let (cut_body, cut_consumed, cut_end) = decode(pieces(input, *seed), body_bytes_max);
    assert_eq!(body, cut_body);
    assert_eq!(end, cut_end);
    assert!(body.len() as u64 <= body_bytes_max);
    assert!(body.len() <= consumed && consumed <= input.len());

    match end {
        Some(Ok(())) => {
            assert_eq!(consumed, cut_consumed);
            assert!(input[..consumed].ends_with(b"\r\n"));
            let mut written = Vec::new();
            body.chunks(7)
                .for_each(|chunk| encode_chunk(&mut written, chunk));
            encode_last_chunk(&mut written);
            let again = decode([written.as_slice()], body_bytes_max);
            assert_eq!(again, (body, written.len(), Some(Ok(()))));
        }
        Some(Err(error)) => assert!([400, 413, 431].contains(&error.status().as_u16())),
        None => assert_eq!(consumed, input.len(), "framing is never left in the input"),
    }
});

fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, body_bytes_max: u64) -> Outcome {
    let mut decoder = BodyDecoder::new(BodyFraming::Chunked, body_bytes_max).unwrap();
    let (mut body, mut consumed) = (Vec::new(), 0);
    for mut piece in pieces {
        loop {
            let taken = match decoder.decode(piece) {
                Ok(BodyEvent::Data { start, end }) => {
                    assert!(start < end);
                    body.extend_from_slice(&piece[start..end]);
                    end
                }
                Ok(BodyEvent::NeedMore { consumed: taken }) => {
                    assert_eq!(taken, piece.len());
                    consumed += taken;
                    break;
                }
                Ok(BodyEvent::End { consumed: taken }) => {
                    assert!(decoder.is_done());
                    return (body, consumed + taken, Some(Ok(())));
                }
                Err(error) => {
                    assert_eq!(
                        decoder.decode(b"0\r\n\r\n"),
                        Err(error),
                        "an error is for ever"
                    );
                    return (body, consumed, Some(Err(error)));
                }
            };
            consumed += taken;
            piece = &piece[taken..];
        }
    }
    (body, consumed, None)
}
