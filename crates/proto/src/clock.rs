//! The units of time that floor 1 is given; it never asks what time it is.

/// Milliseconds on some monotonic scale; floor 1 never asks what time it is.
pub type Millis = u64;

/// Length of an IMF-fixdate, `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 section
/// 5.6.7).
pub const DATE_BYTES: usize = 29;
