//! Limits of the users and posts API: what a client may ask for.

use crate::store::limits::USER_NAME_CHARS_MAX;

/// Rows of a list page when the client does not say.
pub const PAGE_ROWS_DEFAULT: u32 = 20;
/// Rows of a list page at most. Over it: 422.
pub const PAGE_ROWS_MAX: u32 = 100;
/// Rows a numbered page may skip; the database walks over each of them. Over
/// it: 422 naming the cursor, whose cost does not grow.
pub const PAGE_OFFSET_ROWS_MAX: u64 = 10_000;
/// Text of a page cursor: a name of [`USER_NAME_CHARS_MAX`] four-byte
/// characters, two numbers and a checksum, in hexadecimal. Over it: 422.
pub const CURSOR_TEXT_BYTES_MAX: usize = 1_024;
/// Users asked for in one batch. Over it: 422.
pub const BATCH_IDS_MAX: usize = 100;
/// Radius of a search by place, kilometres: half of the equator.
pub const NEAR_RADIUS_KM_MAX: f64 = 20_038.0;
/// Wrong fields listed in one 422; the others are counted.
pub const FIELD_ERRORS_MAX: usize = 32;
/// Characters of a wrong field's name that are sent back.
pub const FIELD_NAME_SHOWN_CHARS_MAX: usize = 64;
/// How often a write that depends on the row as it was read is tried again
/// when somebody else wrote in between. Then: 503 with Retry-After.
pub const CONDITIONAL_WRITE_ATTEMPTS_MAX: u32 = 8;
/// Body of a login, bytes. Over it: 413.
pub const SESSION_BODY_BYTES_MAX: u64 = 8 * 1_024;

const _: () = assert!(PAGE_ROWS_DEFAULT <= PAGE_ROWS_MAX);
const _: () = assert!(2 * (4 * USER_NAME_CHARS_MAX + 48) <= CURSOR_TEXT_BYTES_MAX);
