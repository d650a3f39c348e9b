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
const fn is_target(byte: u8) -> bool {
    byte > b' ' && byte < DEL && byte != b'#'
}

/// Unreserved characters and sub-delims of RFC 3986: what a registered name may
/// hold beside `%XX`.
const fn is_reg_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
        )
}

/// Optional white space (RFC 9110 section 5.6.3).
pub(super) const fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// Length of the run of token bytes that `bytes` starts with.
pub(super) fn token_run(bytes: &[u8]) -> usize {
    run(&TOKEN, bytes)
}

/// Length of the run of target bytes that `bytes` starts with, eight at a time.
pub(super) fn target_run(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let suspects = target_suspects(u64::from_le_bytes(*word));
        if suspects != 0 {
            return at + suspects.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    at + run(&TARGET, &bytes[at..])
}

/// Length of the run of bytes of a registered name that `bytes` starts with.
pub(super) fn reg_name_run(bytes: &[u8]) -> usize {
    run(&REG_NAME, bytes)
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

/// Where `byte` first stands, eight at a time: less than a call of memchr for
/// what is as short as most targets.
pub(super) fn position_of(byte: u8, bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let found = is_byte(u64::from_le_bytes(*word), byte) & HIGH;
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let place = bytes[at..].iter().position(|&b| b == byte);
    place.map(|place| at + place)
}

/// `bytes` without white space at either end.
pub(super) fn trim_blank(bytes: &[u8]) -> &[u8] {
    let mut bytes = trim_blank_start(bytes);
    while let [rest @ .., last] = bytes
        && is_blank(*last)
    {
        bytes = rest;
    }
    bytes
}

/// `bytes` without white space at its start.
pub(super) fn trim_blank_start(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && is_blank(*first)
    {
        bytes = rest;
    }
    bytes
}

/// The high bit of each byte that is a control or DEL. A borrow may mark a
/// byte after a marked one wrongly; the lowest mark is exact.
const fn value_suspects(word: u64) -> u64 {
    let controls = word.wrapping_sub(ONES * 0x20) & !word;
    (controls | is_byte(word, DEL)) & HIGH
}

/// The high bit of each byte that no target has; as exact as `value_suspects`.
const fn target_suspects(word: u64) -> u64 {
    let up_to_blank = word.wrapping_sub(ONES * 0x21) & !word;
    (up_to_blank | is_byte(word, DEL) | is_byte(word, b'#') | word) & HIGH
}

/// The high bit of each byte that is `byte`; others only after one that is.
const fn is_byte(word: u64, byte: u8) -> u64 {
    let zero = word ^ (ONES * byte as u64);
    zero.wrapping_sub(ONES) & !zero
}

const ONES: u64 = u64::MAX / 255;
const HIGH: u64 = ONES * 0x80;

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
static REG_NAME: [bool; 256] = class!(is_reg_name);

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
    fn target_run_stops_at_each_bad_byte_wherever_it_stands() {
        for length in 0..40 {
            for place in 0..length {
                for byte in 0..=255u8 {
                    let mut bytes = vec![b'/'; length];
                    bytes[place] = byte;
                    // What a borrow from a bad byte would mark wrongly.
                    bytes[place + 1..].fill(b'!');
                    let expected = if is_target(byte) { length } else { place };
                    assert_eq!(target_run(&bytes), expected, "byte {byte:#x} at {place}");
                }
            }
        }
    }

    #[test]
    fn the_first_of_a_byte_is_found_wherever_it_stands() {
        for length in 0..40 {
            assert_eq!(position_of(b'?', &vec![b'>'; length]), None);
            for place in 0..length {
                let mut bytes = vec![b'>'; length];
                // Next to it what a borrow would mark, and another one.
                bytes[place..].fill(b'?' ^ 1);
                bytes[place] = b'?';
                bytes[length - 1] = b'?';
                assert_eq!(position_of(b'?', &bytes), Some(place));
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
