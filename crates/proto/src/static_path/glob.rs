//! The small pattern language of caching rules.
//!
//! | token | matches |
//! |---|---|
//! | `?` | one byte, not `/` |
//! | `*` | any bytes without `/`, also none |
//! | `**` | any bytes |
//! | `**/` | any directories, also none |
//! | `{hash}` | eight or more hexadecimal digits, not decimals alone, as build tools put in names |
//!
//! Everything else is itself. A pattern without `/` is matched against the
//! file name, one with `/` against the whole path. Own code because the usual
//! crates bring a regex engine and have no `{hash}`: it runs as a bit-parallel
//! automaton, linear in the path, with no pattern that takes longer.

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    tokens: Vec<Token>,
    matches_whole_path: bool,
}

/// Why a pattern was refused; `Display` says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidGlob(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Literal(u8),
    AnyByte,
    Hex,
    /// Zero or more of: bytes but `/`, any bytes, hexadecimal digits.
    Segment,
    Anything,
    HexRun,
    /// Zero or more whole directories with their slash.
    Directories,
}

/// States of the automaton: bit `i` set means "the next byte is for token i".
type GlobStates = u128;

impl Glob {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// When it is empty, begins with `/`, has a brace that is not `{hash}`, or
    /// is longer than 127 tokens.
    pub fn new(pattern: &str) -> Result<Self, InvalidGlob> {
        let refuse = |why: &str| Err(InvalidGlob(format!("`{pattern}`: {why}")));
        if pattern.is_empty() || pattern.starts_with('/') {
            return refuse("a pattern is relative to the root, without a leading /, and not empty");
        }
        let mut tokens = Vec::new();
        let mut rest = pattern.as_bytes();
        while let [first, after @ ..] = rest {
            if let Some(after) = rest.strip_prefix(b"{hash}") {
                tokens.extend([Token::Hex; HASH_DIGITS_MIN]);
                tokens.push(Token::HexRun);
                rest = after;
                continue;
            }
            let at_segment_start = matches!(
                tokens.last(),
                None | Some(Token::Literal(b'/') | Token::Directories)
            );
            let (token, after) = match (first, after) {
                (b'*', [b'*', b'/', after @ ..]) if at_segment_start => (Token::Directories, after),
                (b'*', [b'*', after @ ..]) => (Token::Anything, after),
                (b'*', after) => (Token::Segment, after),
                (b'?', after) => (Token::AnyByte, after),
                (b'{' | b'}', _) => return refuse("the only braces are those of {hash}"),
                (byte, after) => (Token::Literal(*byte), after),
            };
            tokens.push(token);
            rest = after;
        }
        if tokens.len() >= GlobStates::BITS as usize {
            return refuse("longer than 127 tokens");
        }
        Ok(Self {
            tokens,
            matches_whole_path: pattern.contains('/'),
        })
    }

    /// Whether a relative path (`css/app.css`) matches.
    pub fn matches(&self, path: &str) -> bool {
        let subject = match path.rsplit_once('/') {
            Some((_, name)) if !self.matches_whole_path => name,
            _ => path,
        };
        let mut states = self.enter(0);
        for byte in subject.bytes() {
            states = self.step(states, byte);
            if states == 0 {
                return false;
            }
        }
        let has_matched = states & 1 << self.tokens.len() != 0;
        has_matched && (!self.tokens.contains(&Token::Hex) || has_hash(subject))
    }

    /// State `index` and those it reaches without a byte.
    fn enter(&self, index: usize) -> GlobStates {
        let mut states = 1 << index;
        for (i, token) in self.tokens.iter().enumerate().skip(index) {
            let may_be_empty = matches!(
                token,
                Token::Segment | Token::Anything | Token::HexRun | Token::Directories
            );
            if !may_be_empty {
                break;
            }
            states |= 1 << (i + 1);
        }
        states
    }

    fn step(&self, states: GlobStates, byte: u8) -> GlobStates {
        let mut next = 0;
        let mut left = states & !(1 << self.tokens.len());
        while left != 0 {
            let index = left.trailing_zeros() as usize;
            left &= left - 1;
            let stays = match self.tokens[index] {
                Token::Literal(_) | Token::AnyByte | Token::Hex => false,
                Token::Segment => byte != b'/',
                Token::HexRun => byte.is_ascii_hexdigit(),
                Token::Anything | Token::Directories => true,
            };
            let goes_on = match self.tokens[index] {
                Token::Literal(literal) => byte == literal,
                Token::AnyByte => byte != b'/',
                Token::Hex => byte.is_ascii_hexdigit(),
                // Only whole directories end it.
                Token::Directories => byte == b'/',
                Token::Segment | Token::Anything | Token::HexRun => stays,
            };
            if stays {
                next |= 1 << index;
            }
            if goes_on {
                next |= self.enter(index + 1);
            }
        }
        next
    }
}

/// Whether a run of hexadecimal digits may be a hash: one of decimals alone is
/// more likely a date or a number, whose content may change. One hash in forty
/// is taken for that, and then costs a question now and then.
fn has_hash(subject: &str) -> bool {
    let mut runs = subject.split(|c: char| !c.is_ascii_hexdigit());
    runs.any(|run| run.len() >= HASH_DIGITS_MIN && run.bytes().any(|b| !b.is_ascii_digit()))
}

impl std::fmt::Display for InvalidGlob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidGlob {}

const HASH_DIGITS_MIN: usize = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        Glob::new(pattern).unwrap().matches(path)
    }

    #[test]
    fn each_token_matches_what_it_says() {
        for (pattern, path, expected) in [
            ("*.js", "app.js", true),
            ("*.js", "deep/down/app.js", true),
            ("*.js", "app.jsx", false),
            ("*.js", ".js", true),
            ("app.?s", "app.js", true),
            ("app.?s", "app.s", false),
            ("*", "any/where", true),
            ("assets/*", "assets/a.js", true),
            ("assets/*", "assets/deep/a.js", false),
            ("assets/*", "other/assets/a.js", false),
            ("assets/**", "assets/deep/a.js", true),
            ("assets/**", "assets", false),
            ("**/*.js", "app.js", true),
            ("**/*.js", "deep/down/app.js", true),
            ("**/app.js", "my-app.js", false),
            ("**/app.js", "x/my-app.js", false),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a/**/b", "a/xb", false),
            ("**/**/b", "b", true),
            ("a**z", "a/b/z", false),
            ("a/x**z", "a/x/b/z", true),
            ("a?b/c", "a/b/c", false),
            ("été.txt", "été.txt", true),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn a_hash_is_eight_or_more_hex_digits() {
        for (path, expected) in [
            ("app.0123abcd.js", true),
            ("x/app.0123ABCDEF0123456789.js", true),
            ("app.0123abc.js", false),
            ("app.settings.js", false),
            ("app.0123abcg.js", false),
            ("app.0123abcd", false),
            ("report.20240101.pdf", false),
            ("20240101.0123abcd.js", true),
            ("app.1.0123abcd.js.map", true),
        ] {
            assert_eq!(matches("*.{hash}.*", path), expected, "{path}");
        }
        assert!(matches("*-{hash}.css", "main-deadbeef99.css"));
        assert!(
            matches("{hash}d.js", "0123456789abcd.js"),
            "the run gives digits back"
        );
    }

    #[test]
    fn patterns_that_mean_nothing_are_refused() {
        for pattern in ["", "/a", "*.{js,css}", "{has}", "}"] {
            assert!(Glob::new(pattern).is_err(), "{pattern}");
        }
        assert!(Glob::new(&"a".repeat(127)).is_ok());
        assert!(Glob::new(&"a".repeat(128)).is_err());
    }

    #[test]
    fn no_pattern_takes_exponential_time() {
        let glob = Glob::new(&format!("x/{}b", "*a**".repeat(40))).unwrap();
        assert!(!glob.matches(&format!("x/{}", "a".repeat(1022))));
    }

    /// The definition, by trying everything.
    fn matches_slowly(tokens: &[Token], text: &[u8]) -> bool {
        let Some((token, rest)) = tokens.split_first() else {
            return text.is_empty();
        };
        let take = |ok: fn(u8) -> bool| {
            text.split_first()
                .is_some_and(|(b, after)| ok(*b) && matches_slowly(rest, after))
        };
        let run = |ok: fn(u8) -> bool| {
            (0..=text.len())
                .take_while(|n| text[..*n].iter().all(|b| ok(*b)))
                .any(|n| matches_slowly(rest, &text[n..]))
        };
        match token {
            Token::Literal(l) => text.first() == Some(l) && matches_slowly(rest, &text[1..]),
            Token::AnyByte => take(|b| b != b'/'),
            Token::Hex => take(|b| b.is_ascii_hexdigit()),
            Token::Segment => run(|b| b != b'/'),
            Token::Anything => run(|_| true),
            Token::HexRun => run(|b| b.is_ascii_hexdigit()),
            Token::Directories => (0..=text.len())
                .filter(|n| *n == 0 || text[n - 1] == b'/')
                .any(|n| matches_slowly(rest, &text[n..])),
        }
    }

    proptest! {
        #[test]
        fn the_automaton_agrees_with_the_definition(
            pattern in "[ab?*][ab/?*]{0,7}", path in "[ab]{0,3}(/[ab]{1,2}){0,3}",
        ) {
            let glob = Glob::new(&format!("a/{pattern}")).unwrap();
            let path = format!("a/{path}");
            prop_assert_eq!(glob.matches(&path), matches_slowly(&glob.tokens, path.as_bytes()), "{:?}", glob);
        }
    }
}
