//! Which columns of `users` a statement reads.

use super::UserField;

/// A set of columns of `users`; as rows they come in the order of
/// [`UserField::ALL`], a location as two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Columns(u8);

impl Columns {
    /// All of them.
    pub(super) const ALL: Self = Self(u8::MAX);

    /// Those of these fields.
    pub(super) fn of(fields: &[UserField]) -> Self {
        Self(fields.iter().fold(0, |set, field| set | Self::bit(*field)))
    }

    /// Those of either.
    pub(super) fn and(self, fields: &[UserField]) -> Self {
        Self(self.0 | Self::of(fields).0)
    }

    /// Whether a field is among them.
    pub(super) fn contains(self, field: UserField) -> bool {
        self.0 & Self::bit(field) != 0
    }

    fn bit(field: UserField) -> u8 {
        1 << field as u8
    }

    /// Their names for a SELECT.
    pub(super) fn sql(self) -> String {
        let names: Vec<&str> = UserField::ALL
            .into_iter()
            .filter(|field| self.contains(*field))
            .map(|field| match field {
                UserField::Id => "id",
                UserField::Name => "name",
                UserField::Email => "email",
                UserField::Age => "age",
                UserField::Location => "lat, lon",
                UserField::CreatedAt => "created_at_ms",
                UserField::UpdatedAt => "updated_at_ms",
                UserField::Version => "version",
            })
            .collect();
        names.join(", ")
    }
}
