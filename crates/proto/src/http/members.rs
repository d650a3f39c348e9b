//! Members of a comma-separated field value (RFC 9110 section 5.6.1).

/// Whether a list names `wanted`, whatever the case. A comma in quotes counts as
/// well: of directives that forbid something that can only forbid more.
pub fn has_member(value: &[u8], wanted: &[u8]) -> bool {
    let mut members = value.split(|byte| *byte == b',');
    members.any(|member| member.trim_ascii().eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_whole_and_of_any_case() {
        for (value, is_named) in [
            ("no-store", true),
            ("No-Store", true),
            ("private ,\tno-store", true),
            ("private,no-store,", true),
            ("", false),
            ("no-store-at-all", false),
            ("no-store=1", false),
        ] {
            assert_eq!(
                has_member(value.as_bytes(), b"no-store"),
                is_named,
                "{value}"
            );
        }
    }
}
