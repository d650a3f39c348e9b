//! The time of a line, formatted once a second.

use std::fmt::Write;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// The last second that was asked for, in both shapes.
#[derive(Debug, Default)]
pub(super) struct SecondCache {
    second: Option<i64>,
    common_log: String,
    rfc3339: String,
}

impl SecondCache {
    /// `10/Oct/2000:13:55:36 +0000`.
    pub(super) fn common_log(&mut self, unix_ms: i64) -> &str {
        self.refresh(unix_ms);
        &self.common_log
    }

    /// `2000-10-10T13:55:36`, without fraction and zone.
    pub(super) fn rfc3339(&mut self, unix_ms: i64) -> &str {
        self.refresh(unix_ms);
        &self.rfc3339
    }

    fn refresh(&mut self, unix_ms: i64) {
        let second = unix_ms.div_euclid(1_000);
        if self.second == Some(second) {
            return;
        }
        self.second = Some(second);
        // A time outside jiff's years -9999 to 9999 is a broken clock; shown
        // as the epoch.
        let timestamp = Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
        let date = Offset::UTC.to_datetime(timestamp);
        self.common_log.clear();
        self.rfc3339.clear();
        // Writing to a String cannot fail.
        let _ = write_common_log(date, &mut self.common_log);
        let _ = write_rfc3339(date, &mut self.rfc3339);
    }
}

/// `2000-10-10T13:55:36.042Z`, for a line that is written seldom.
pub fn rfc3339_utc(unix_ms: i64) -> String {
    let millis = unix_ms.rem_euclid(1_000);
    let mut second = SecondCache::default();
    format!("{}.{millis:03}Z", second.rfc3339(unix_ms))
}

fn write_common_log(date: DateTime, text: &mut String) -> std::fmt::Result {
    let month = MONTHS[date.month() as usize - 1];
    let (day, year) = (date.day(), date.year());
    let (hour, minute, second) = (date.hour(), date.minute(), date.second());
    write!(
        text,
        "{day:02}/{month}/{year:04}:{hour:02}:{minute:02}:{second:02} +0000"
    )
}

fn write_rfc3339(date: DateTime, text: &mut String) -> std::fmt::Result {
    let (year, month, day) = (date.year(), date.month(), date.day());
    let (hour, minute, second) = (date.hour(), date.minute(), date.second());
    write!(
        text,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
    )
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_formatted_as_the_logs_want_them() {
        let mut cache = SecondCache::default();
        assert_eq!(
            cache.common_log(784_111_777_999),
            "06/Nov/1994:08:49:37 +0000"
        );
        assert_eq!(cache.rfc3339(784_111_777_999), "1994-11-06T08:49:37");
        assert_eq!(cache.rfc3339(784_111_778_000), "1994-11-06T08:49:38");
        assert_eq!(cache.common_log(-1), "31/Dec/1969:23:59:59 +0000");
    }

    #[test]
    fn a_broken_clock_does_not_panic() {
        let mut cache = SecondCache::default();
        assert_eq!(cache.rfc3339(i64::MAX), "1970-01-01T00:00:00");
        assert_eq!(cache.common_log(i64::MIN), "01/Jan/1970:00:00:00 +0000");
    }
}
