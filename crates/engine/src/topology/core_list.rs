//! Core lists: `2-8,10`, the syntax of taskset, hwloc, `/sys` and cpusets.
//!
//! Invariants: `parse_core_list(&format_core_list(&cores))` gives `cores` back
//! for any ascending list; a parsed list is bounded by [`CPU_IDS_MAX`] and
//! keeps the order it was written in, because that is the order of the shards.

use std::fmt;

use corelane_proto::limits::{CORE_LIST_BYTES_MAX, CPU_IDS_MAX};

/// Parses a core list such as `2-8,10` or `0-126:2` (every second one), in
/// the order written. Spaces around numbers are accepted.
///
/// # Errors
///
/// [`CoreListError`] when the list is empty or too long, an item is not a
/// number, range or stepped range, a range runs backwards, a number is not
/// under [`CPU_IDS_MAX`], or a core is named twice.
///
/// ```
/// use corelane_engine::topology::parse_core_list;
/// assert_eq!(parse_core_list("2-4,10"), Ok(vec![2, 3, 4, 10]));
/// assert!(parse_core_list("4-2").is_err());
/// ```
pub fn parse_core_list(text: &str) -> Result<Vec<usize>, CoreListError> {
    if text.len() > CORE_LIST_BYTES_MAX {
        return Err(CoreListError::TooLong { bytes: text.len() });
    }
    if text.trim().is_empty() {
        return Err(CoreListError::Empty);
    }
    let mut seen = [false; CPU_IDS_MAX];
    let mut cores = Vec::new();
    for item in text.split(',') {
        let (first, last, step) = parse_item(item.trim())?;
        for core in (first..=last).step_by(step) {
            if std::mem::replace(&mut seen[core], true) {
                return Err(CoreListError::Twice { core });
            }
            cores.push(core);
        }
    }
    Ok(cores)
}

/// Writes cores as a list, runs as ranges: `0-3,8`.
pub fn format_core_list(cores: &[usize]) -> String {
    let mut items = Vec::new();
    let mut rest = cores;
    while let Some(&first) = rest.first() {
        let run = rest
            .iter()
            .enumerate()
            .take_while(|&(i, &core)| core == first + i)
            .count();
        match run {
            1 => items.push(first.to_string()),
            _ => items.push(format!("{first}-{}", first + run - 1)),
        }
        rest = &rest[run..];
    }
    items.join(",")
}

/// First, last and step of one item between commas.
fn parse_item(item: &str) -> Result<(usize, usize, usize), CoreListError> {
    let (range, step) = match item.split_once(':') {
        Some((range, step)) if range.contains('-') => (range, parse_number(item, step)?),
        Some(_) => return Err(CoreListError::NotANumber { item: clip(item) }),
        None => (item, 1),
    };
    let (first, last) = match range.split_once('-') {
        Some((first, last)) => (parse_core(item, first)?, parse_core(item, last)?),
        None => {
            let core = parse_core(item, range)?;
            (core, core)
        }
    };
    if last < first {
        return Err(CoreListError::Backwards { first, last });
    }
    if step == 0 {
        return Err(CoreListError::NotANumber { item: clip(item) });
    }
    Ok((first, last, step))
}

fn parse_core(item: &str, digits: &str) -> Result<usize, CoreListError> {
    let core = parse_number(item, digits)?;
    if core >= CPU_IDS_MAX {
        return Err(CoreListError::TooLarge { core });
    }
    Ok(core)
}

fn parse_number(item: &str, digits: &str) -> Result<usize, CoreListError> {
    let digits = digits.trim();
    // `usize::from_str` alone would accept "+3".
    let all_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if !all_digits {
        return Err(CoreListError::NotANumber { item: clip(item) });
    }
    // Digits only, so the one way to fail is overflow.
    Ok(digits.parse().unwrap_or(usize::MAX))
}

/// An item as an error message may repeat it.
fn clip(item: &str) -> String {
    item.chars().take(ITEM_SHOWN_CHARS).collect()
}

const ITEM_SHOWN_CHARS: usize = 32;

/// Why a text is not a core list. Its message says what would be valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CoreListError {
    /// Nothing but spaces.
    Empty,
    /// Longer than [`CORE_LIST_BYTES_MAX`].
    TooLong {
        /// Length of the text, bytes.
        bytes: usize,
    },
    /// An item that is neither `3` nor `2-8` nor `2-8:2`.
    NotANumber {
        /// The item, cut to a length fit for a message.
        item: String,
    },
    /// A range whose end is below its start.
    Backwards {
        /// Start as written.
        first: usize,
        /// End as written.
        last: usize,
    },
    /// A core number that cannot be pinned to.
    TooLarge {
        /// The number as written.
        core: usize,
    },
    /// A core named twice.
    Twice {
        /// The core.
        core: usize,
    },
}

impl fmt::Display for CoreListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "the core list is empty; write cores such as \"2-8,10\""),
            Self::TooLong { bytes } => {
                write!(
                    f,
                    "the core list has {bytes} bytes; at most {CORE_LIST_BYTES_MAX} are read"
                )
            }
            Self::NotANumber { item } => write!(
                f,
                "\"{item}\" is not a core or a range of cores; write \"3\", \"2-8\" or \"0-14:2\""
            ),
            Self::Backwards { first, last } => {
                write!(
                    f,
                    "the range {first}-{last} runs backwards; write {last}-{first}"
                )
            }
            Self::TooLarge { core } => {
                write!(
                    f,
                    "core {core} is out of range; valid are 0-{}",
                    CPU_IDS_MAX - 1
                )
            }
            Self::Twice { core } => write!(f, "core {core} is given twice; name each core once"),
        }
    }
}

impl std::error::Error for CoreListError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lists_ranges_steps_and_spaces_are_read_in_the_order_written() {
        assert_eq!(parse_core_list("2-8,10"), Ok(vec![2, 3, 4, 5, 6, 7, 8, 10]));
        assert_eq!(parse_core_list(" 5 , 0 - 2 "), Ok(vec![5, 0, 1, 2]));
        assert_eq!(parse_core_list("0-7:3"), Ok(vec![0, 3, 6]));
        assert_eq!(parse_core_list("1023"), Ok(vec![1_023]));
    }

    #[test]
    fn what_is_not_a_core_list_is_refused_saying_why() {
        let not_a_number = |item: &str| CoreListError::NotANumber {
            item: item.to_owned(),
        };
        for (text, expected) in [
            ("", CoreListError::Empty),
            ("  ", CoreListError::Empty),
            ("a", not_a_number("a")),
            ("1,,2", not_a_number("")),
            ("1,", not_a_number("")),
            ("-3", not_a_number("-3")),
            ("3-", not_a_number("3-")),
            ("+3", not_a_number("+3")),
            ("1-2-3", not_a_number("1-2-3")),
            ("3:2", not_a_number("3:2")),
            ("0-8:0", not_a_number("0-8:0")),
            ("0x1f", not_a_number("0x1f")),
            ("8-2", CoreListError::Backwards { first: 8, last: 2 }),
            ("1024", CoreListError::TooLarge { core: 1_024 }),
            (
                "0-18446744073709551616",
                CoreListError::TooLarge { core: usize::MAX },
            ),
            ("0-3,2", CoreListError::Twice { core: 2 }),
        ] {
            assert_eq!(parse_core_list(text), Err(expected), "{text:?}");
        }
        let long = "1,".repeat(CORE_LIST_BYTES_MAX);
        assert_eq!(
            parse_core_list(&long),
            Err(CoreListError::TooLong { bytes: long.len() })
        );
    }

    #[test]
    fn the_longest_sensible_list_is_under_the_limit() {
        let every_second: Vec<_> = (0..CPU_IDS_MAX).step_by(2).collect();
        let text = format_core_list(&every_second);
        assert!(text.len() <= CORE_LIST_BYTES_MAX);
        assert_eq!(parse_core_list(&text), Ok(every_second));
    }

    proptest! {
        #[test]
        fn format_then_parse_gives_the_cores_back(
            cores in proptest::collection::btree_set(0..CPU_IDS_MAX, 1..200),
            turned in any::<bool>(),
        ) {
            let mut cores: Vec<usize> = cores.into_iter().collect();
            if turned {
                cores.reverse();
            }
            prop_assert_eq!(parse_core_list(&format_core_list(&cores)), Ok(cores));
        }

        #[test]
        fn any_text_is_parsed_or_refused_without_panic(text in "[0-9,:\\- x]{0,40}") {
            if let Ok(cores) = parse_core_list(&text) {
                let distinct: std::collections::BTreeSet<_> = cores.iter().collect();
                prop_assert_eq!(distinct.len(), cores.len());
                prop_assert!(cores.iter().all(|&core| core < CPU_IDS_MAX));
            }
        }
    }
}
