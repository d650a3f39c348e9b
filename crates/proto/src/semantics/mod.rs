//! What HTTP requests and representations mean, apart from any bytes on the
//! wire: entity tags, conditional requests, ranges, content negotiation
//! (RFC 9110 sections 8.8, 12, 13 and 14), and who sent them (RFC 7239).
//!
//! Stands between a handler that knows a representation's validators and the
//! response it may then send. Sans-IO: field values and numbers in, verdicts
//! out. No input, however broken, panics; a field that cannot be read has the
//! effect that section says, most often none.

mod coded_tags;
mod conditional;
mod date;
mod etag;
mod forwarded;
mod last_modified;
mod multipart;
mod negotiate;
mod range;

pub use coded_tags::{gzip_tag, names_gzip_of, with_plain_tags};
pub use conditional::{Conditions, Validators, Verdict, evaluate, join_lines};
pub use date::{format_http_date, parse_http_date};
pub use etag::{ETag, InvalidETag, TagList, TagRef};
pub use forwarded::{Client, ForwardingFields, InvalidProxy, TrustedProxies, trace_client};
pub use last_modified::LastModified;
pub use multipart::ByterangesBody;
pub use negotiate::{
    Coding, CodingSet, Quality, best_media_type, media_type_quality, preferred_coding,
};
pub use range::{ByteRange, RangeOutcome, if_range_holds, parse_ranges, unsatisfied_content_range};
