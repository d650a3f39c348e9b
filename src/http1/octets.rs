//! Byte classes of RFC 9110 and 9112, and the scans over them.

/// `tchar` of RFC 9110 section 5.6.2.
pub(super) const fn is_token(byte: u8) -> bool {
    matches!(byte,
        b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z'
        | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+'
        | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}

/// What a field value may hold: HTAB, space, visible ASCII and obs-text.
pub(super) const fn is_value(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != DEL)
}

/// What a request target may hold: visible ASCII without `#`, which a client
/// keeps to itself (RFC 9110 section 7.1).
pub(super) const fn is_target(byte: u8) -> bool {
    byte > b' ' && byte < DEL && byte != b'#'
}

/// Optional white space (RFC 9110 section 5.6.3).
pub(super) const fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// Length of the run of token bytes that `bytes` starts with.
pub(super) fn token_run(bytes: &[u8]) -> usize {
    run(&TOKEN, bytes)
}

/// Length of the run of target bytes that `bytes` starts with.
pub(super) fn target_run(bytes: &[u8]) -> usize {
    run(&TARGET, bytes)
}

/// Length of the run of value bytes that `bytes` starts with, eight at a time.
pub(super) fn value_run(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let suspects = value_suspects(u64::from_le_bytes(*word));
        if suspects == 0 {
            at += 8;
            continue;
        }
        at += suspects.trailing_zeros() as usize / 8;
        if bytes[at] != b'\t' {
            return at;
        }
        at += 1;
    }
    at + run(&VALUE, &bytes[at..])
}

/// `bytes` without white space at either end.
pub(super) fn trim_blank(bytes: &[u8]) -> &[u8] {
    let start = bytes
        .iter()
        .position(|&b| !is_blank(b))
        .unwrap_or(bytes.len());
    let end = bytes
        .iter()
        .rposition(|&b| !is_blank(b))
        .map_or(start, |last| last + 1);
    &bytes[start..end]
}

/// The high bit of each byte that is a control or DEL. A borrow may mark a
/// byte after a marked one wrongly; the lowest mark is exact.
const fn value_suspects(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES * 0x80;
    let controls = word.wrapping_sub(ONES * 0x20) & !word;
    let del = word ^ (ONES * DEL as u64);
    (controls | (del.wrapping_sub(ONES) & !del)) & HIGH
}

fn run(class: &[bool; 256], bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|&b| !class[usize::from(b)])
        .unwrap_or(bytes.len())
}

const DEL: u8 = 0x7f;

macro_rules! class {
    ($is:ident) => {{
        let mut class = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            class[byte] = $is(byte as u8);
            byte += 1;
        }
        class
    }};
}

static TOKEN: [bool; 256] = class!(is_token);
static TARGET: [bool; 256] = class!(is_target);
static VALUE: [bool; 256] = class!(is_value);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_run_stops_at_each_bad_byte_wherever_it_stands() {
        for length in 0..40 {
            for place in 0..length {
                for byte in 0..=255u8 {
                    let mut bytes = vec![b'v'; length];
                    bytes[place] = byte;
                    let expected = if is_value(byte) { length } else { place };
                    assert_eq!(value_run(&bytes), expected, "byte {byte:#x} at {place}");
                }
            }
        }
    }

    #[test]
    fn value_run_is_exact_after_tabs_and_obs_text() {
        assert_eq!(value_run(b"\t\t\t\t\t\t\t\t\t\t\x1f"), 10);
        assert_eq!(value_run(&[0xff; 17]), 17);
        assert_eq!(value_run(b"\xff\x80\xff\x80\xff\x80\xff\x80\x00"), 8);
        assert_eq!(value_run(b"a\tb\x7f\x20\x21\x22\x23"), 3);
    }

    #[test]
    fn tokens_are_those_of_the_rfc() {
        let tokens: Vec<u8> = (0..=255).filter(|&b| is_token(b)).collect();
        assert_eq!(tokens.len(), 10 + 26 + 26 + 15);
        assert!(b"()<>@,;:\\\"/[]?={} \t".iter().all(|&b| !is_token(b)));
    }

    #[test]
    fn trimming_keeps_inner_white_space() {
        assert_eq!(trim_blank(b" \t a b\t "), b"a b");
        assert_eq!(trim_blank(b" \t "), b"");
        assert_eq!(trim_blank(b""), b"");
    }
}
