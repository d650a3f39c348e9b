//! Bytes from outside as printable ASCII.

/// Appends `bytes` for a place between double quotes: `"` and `\` with a
/// backslash, everything that is not printable ASCII as `\xHH`, like nginx.
pub(super) fn text(bytes: &[u8], out: &mut Vec<u8>) {
    escape_text(
        bytes,
        out,
        |byte| matches!(byte, b' '..=b'~' if byte != b'"' && byte != b'\\'),
        |byte| matches!(byte, b'"' | b'\\'),
    );
}

/// Appends `bytes` for a place that ends at a space and has no quotes: what
/// [`text`] escapes, and spaces, all as `\xHH`.
pub(super) fn text_word(bytes: &[u8], out: &mut Vec<u8>) {
    escape_text(
        bytes,
        out,
        |byte| matches!(byte, b'!'..=b'~' if byte != b'"' && byte != b'\\'),
        |_| false,
    );
}

fn escape_text(
    bytes: &[u8],
    out: &mut Vec<u8>,
    plain: impl Fn(u8) -> bool,
    backslashed: impl Fn(u8) -> bool,
) {
    let mut written = 0;
    for (index, &byte) in bytes.iter().enumerate() {
        if plain(byte) {
            continue;
        }
        out.extend_from_slice(&bytes[written..index]);
        written = index + 1;
        if backslashed(byte) {
            out.extend_from_slice(&[b'\\', byte]);
        } else {
            out.extend_from_slice(&[b'\\', b'x', hex(byte >> 4, b'A'), hex(byte, b'A')]);
        }
    }
    out.extend_from_slice(&bytes[written..]);
}

/// Appends `bytes` as the inside of a JSON string: printable ASCII as it is,
/// other characters as `\uXXXX`, invalid UTF-8 as U+FFFD.
pub(super) fn json(bytes: &[u8], out: &mut Vec<u8>) {
    // Nearly every field is plain; copied whole, it costs a tenth.
    if bytes
        .iter()
        .all(|byte| matches!(byte, b' '..=b'~' if *byte != b'"' && *byte != b'\\'))
    {
        out.extend_from_slice(bytes);
        return;
    }
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            json_char(c, out);
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
}

fn json_char(c: char, out: &mut Vec<u8>) {
    match c {
        '"' | '\\' => out.extend_from_slice(&[b'\\', c as u8]),
        ' '..='~' => out.push(c as u8),
        _ => {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let [high, low] = unit.to_be_bytes();
                let digits = [high >> 4, high, low >> 4, low].map(|nibble| hex(nibble, b'a'));
                out.extend_from_slice(b"\\u");
                out.extend_from_slice(&digits);
            }
        }
    }
}

/// The low four bits as a hexadecimal digit; `ten` is `a` or `A`.
fn hex(nibble: u8, ten: u8) -> u8 {
    match nibble & 0xf {
        digit @ 0..=9 => b'0' + digit,
        letter => ten + letter - 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(escape: fn(&[u8], &mut Vec<u8>), bytes: &[u8]) -> String {
        let mut out = Vec::new();
        escape(bytes, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_escapes_each_kind_of_byte_its_way() {
        assert_eq!(escaped(text, b"plain ~"), "plain ~");
        assert_eq!(
            escaped(text, b"a\"b\\c\0\x7f\xff"),
            r#"a\"b\\c\x00\x7F\xFF"#
        );
        assert_eq!(escaped(text_word, b"a b\"\\"), r"a\x20b\x22\x5C");
    }

    #[test]
    fn json_uses_surrogate_pairs_and_replaces_what_is_no_utf8() {
        assert_eq!(
            escaped(json, "é\u{1f600}\n".as_bytes()),
            r"\u00e9\ud83d\ude00\u000a"
        );
        assert_eq!(escaped(json, b"a\xffb\xe2\x82"), r"a\ufffdb\ufffd");
    }
}
