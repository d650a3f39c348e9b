//! Changes that others have made in the database: other nodes, or somebody
//! with a shell. What the database tells of them, and how it is read.
//!
//! The text of a notification is `ORIGIN TABLE KEYS`: who wrote, which table,
//! and `ID:VERSION` of each row with commas between them, `x` for the version
//! of a deleted row, or `*` for more rows than are worth naming.

use crate::store::limits::DATABASE_NOTIFICATION_BYTES_MAX;
pub use corelane::internals::announce::WrittenRow as ChangedRow;

/// What a listener for changes hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeEvent {
    /// From now on every change is told.
    Running,
    /// Changes have been committed elsewhere.
    Changed(Vec<Change>),
    /// The connection is gone, and why: changes may have been missed. It is
    /// being made anew.
    Lost(String),
}

/// Rows of one table that were written in one statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where.
    pub table: ChangedTable,
    /// Which.
    pub rows: ChangedRows,
}

/// A table whose changes are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum ChangedTable {
    Users,
    Posts,
}

/// Which rows of a table were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangedRows {
    /// These, by id.
    These(Vec<ChangedRow>),
    /// Any of them.
    Any,
}

/// A change of all there is.
pub(super) fn everything() -> Vec<Change> {
    let any = |table| Change {
        table,
        rows: ChangedRows::Any,
    };
    vec![any(ChangedTable::Users), any(ChangedTable::Posts)]
}

/// Reads a notification, unless it is of `own_origin`. What cannot be read is
/// taken for a change of everything: it was told for a reason.
pub(super) fn parse(payload: &str, own_origin: Option<&str>) -> Option<Vec<Change>> {
    let mut parts = payload.splitn(3, ' ');
    let (origin, table, rows) = (parts.next(), parts.next(), parts.next());
    if own_origin.is_some() && origin == own_origin {
        return None;
    }
    let table = match table {
        Some("users") => ChangedTable::Users,
        Some("posts") => ChangedTable::Posts,
        _ => return Some(everything()),
    };
    let rows = rows.and_then(|rows| rows.split(',').map(parse_row).collect());
    let rows = rows.map_or(ChangedRows::Any, ChangedRows::These);
    Some(vec![Change { table, rows }])
}

/// Notifications of those users, as [`parse`] reads them, none longer than
/// [`DATABASE_NOTIFICATION_BYTES_MAX`]; `None` for all users.
pub(super) fn encode(origin: &str, users: Option<&[ChangedRow]>) -> Vec<String> {
    let head = format!("{origin} users ");
    let Some(users) = users else {
        return vec![head + "*"];
    };
    let mut payloads: Vec<String> = Vec::new();
    for ChangedRow { id, version } in users {
        let row = match version {
            Some(version) => format!("{id}:{version}"),
            None => format!("{id}:x"),
        };
        match payloads.last_mut() {
            Some(last) if last.len() + 1 + row.len() <= DATABASE_NOTIFICATION_BYTES_MAX => {
                last.push(',');
                last.push_str(&row);
            }
            _ => payloads.push(format!("{head}{row}")),
        }
    }
    payloads
}

fn parse_row(text: &str) -> Option<ChangedRow> {
    let (id, version) = text.split_once(':')?;
    let version = match version {
        "x" => None,
        version => Some(version.parse().ok()?),
    };
    Some(ChangedRow {
        id: id.parse().ok()?,
        version,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: i64, version: Option<i64>) -> ChangedRow {
        ChangedRow { id, version }
    }

    #[test]
    fn rows_are_read_and_own_ones_left_out() {
        let rows = |payload| match parse(payload, Some("me"))?.as_slice() {
            [change] => Some((change.table, change.rows.clone())),
            other => panic!("{other:?}"),
        };
        let these = |rows: &[ChangedRow]| ChangedRows::These(rows.to_vec());
        assert_eq!(
            rows("you users 7:3,8:x"),
            Some((ChangedTable::Users, these(&[row(7, Some(3)), row(8, None)])))
        );
        assert_eq!(
            rows("- posts 1:0"),
            Some((ChangedTable::Posts, these(&[row(1, Some(0))])))
        );
        assert_eq!(
            rows("you users *"),
            Some((ChangedTable::Users, ChangedRows::Any))
        );
        assert_eq!(rows("me users 7:3"), None);
        assert_eq!(rows("me users *"), None);
        assert!(parse("me users 7:3", None).is_some());
    }

    #[test]
    fn what_is_encoded_is_read_whatever_its_size() {
        let users: Vec<_> = (0..2_000)
            .map(|n| row(i64::MAX - n, (n % 3 > 0).then_some(n)))
            .collect();
        let payloads = encode("me", Some(&users));
        let longest = payloads.iter().map(String::len).max();
        assert!((7_850..=DATABASE_NOTIFICATION_BYTES_MAX).contains(&longest.unwrap()));
        let read = payloads
            .iter()
            .flat_map(|payload| parse(payload, None).unwrap());
        let read = read.flat_map(|change| match change.rows {
            ChangedRows::These(rows) => rows,
            ChangedRows::Any => panic!("all of them"),
        });
        assert_eq!(read.collect::<Vec<_>>(), users);
        assert_eq!(encode("me", Some(&[])), Vec::<String>::new());
        assert_eq!(encode("me", None), ["me users *"]);
    }

    #[test]
    fn what_cannot_be_read_is_a_change_of_everything() {
        for payload in ["", "x", "you", "you cats 1:1", "  "] {
            let changes = parse(payload, Some("me")).unwrap();
            assert_eq!(changes.len(), 2, "{payload:?}");
            assert!(changes.iter().all(|change| change.rows == ChangedRows::Any));
        }
        for payload in [
            "you users ",
            "you users 7",
            "you users 7:y",
            "you users 7:1,",
        ] {
            let changes = parse(payload, Some("me")).unwrap();
            assert_eq!(changes.len(), 1, "{payload:?}");
            assert_eq!(changes[0].rows, ChangedRows::Any, "{payload:?}");
        }
    }
}
