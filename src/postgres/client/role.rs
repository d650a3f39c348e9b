//! What a session is good for, and whether it is what the address asks for.

use super::dial_error::DialError;
use super::url::SessionAttrs;

/// What a session is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::postgres) struct SessionRole {
    /// It takes no writes.
    pub(in crate::postgres) is_read_only: bool,
    /// The server is a replica.
    pub(in crate::postgres) is_standby: bool,
}

impl SessionRole {
    /// Before the server has said.
    pub(super) const UNKNOWN: Self = Self {
        is_read_only: false,
        is_standby: false,
    };

    /// Whether it will do; else why not.
    pub(super) fn check(self, attrs: SessionAttrs) -> Result<(), DialError> {
        let Self {
            is_read_only,
            is_standby,
        } = self;
        let (fits, is) = match attrs {
            SessionAttrs::Any => (true, ""),
            SessionAttrs::ReadWrite => (!is_read_only, "it takes no writes"),
            SessionAttrs::ReadOnly => (is_read_only, "it takes writes"),
            SessionAttrs::Primary => (!is_standby, "it is a replica"),
            SessionAttrs::Standby | SessionAttrs::PreferStandby => (is_standby, "it is no replica"),
        };
        match fits {
            true => Ok(()),
            false => Err(DialError::Unfit(format!(
                "{is}, and target_session_attrs is {attrs}"
            ))),
        }
    }
}
