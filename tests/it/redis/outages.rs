//! (outages follow)
