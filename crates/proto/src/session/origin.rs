//! Which requests may use a session to change something: those that a page of
//! this server sent, or no page at all.
//!
//! A browser says where a request comes from in `Sec-Fetch-Site` and `Origin`,
//! and no page can change what it says. `SameSite` alone would let through
//! what another host of the same site sends, and what old browsers do.

use http::Method;

use crate::http::Origin;

/// What a request says of where it comes from.
#[derive(Debug, Clone, Copy, Default)]
pub struct RequestOrigin<'a> {
    /// `Sec-Fetch-Site`.
    pub site: Option<&'a [u8]>,
    /// `Origin`. Several of them are as one that is wrong.
    pub origin: Option<&'a [u8]>,
    /// Whether there is a `Referer`.
    pub has_referer: bool,
    /// What it calls this server: `Host`, or the target's authority.
    pub authority: &'a [u8],
    /// Whether the client came over TLS.
    pub is_secure: bool,
}

/// Whether a request may use a session to change something.
///
/// In this order: an `Origin` that is `allowed` may. With `Sec-Fetch-Site`,
/// `same-origin` and `none` (the user's own doing) may, everything else not.
/// With `Origin`, the server's own may. With neither, it is no browser's and
/// may, unless it has a `Referer`, which only browsers send.
pub fn may_use_session(request: &RequestOrigin<'_>, allowed: &[Origin]) -> bool {
    let origin = request.origin.map(Origin::parse);
    if let Some(Some(origin)) = &origin
        && allowed.contains(origin)
    {
        return true;
    }
    if let Some(site) = request.site {
        return site == b"same-origin" || site == b"none";
    }
    match origin {
        Some(origin) => {
            let own = Origin::of_authority(request.authority, request.is_secure);
            origin.is_some() && origin == own
        }
        None => !request.has_referer,
    }
}

/// Whether a method changes nothing (RFC 9110 section 9.2.1).
pub fn is_safe_method(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE
    )
}
