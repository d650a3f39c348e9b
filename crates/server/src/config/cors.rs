//! Which other sites' pages may use the server (CORS), as an operator gives it.

use std::time::Duration;

use corelane::middleware::{Cors, InvalidCors};

/// Off while no origin is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorsOptions {
    /// See [`Cors::of`]; `*` alone is [`Cors::any`].
    pub origins: Vec<String>,
    /// See [`Cors::credentials`].
    pub credentials: bool,
    /// See [`Cors::methods`].
    pub methods: Vec<String>,
    /// See [`Cors::headers`].
    pub headers: Vec<String>,
    /// See [`Cors::expose`].
    pub expose_headers: Vec<String>,
    /// See [`Cors::max_age`].
    pub max_age_s: u32,
}

impl Default for CorsOptions {
    fn default() -> Self {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            origins: Vec::new(),
            credentials: false,
            methods: owned(&Cors::METHODS_DEFAULT),
            headers: owned(&Cors::HEADERS_DEFAULT),
            expose_headers: owned(&Cors::EXPOSED_DEFAULT),
            max_age_s: Cors::MAX_AGE_DEFAULT.as_secs() as u32,
        }
    }
}

impl CorsOptions {
    /// The middleware; none while no origin is listed.
    ///
    /// # Errors
    /// What cannot be used, whether or not it is on.
    pub fn middleware(&self) -> Result<Option<Cors>, InvalidCors> {
        let cors = match &self.origins[..] {
            [only] if only == "*" => Cors::any(),
            // For the rest to be checked; no page is let in.
            [] => Cors::of(["https://localhost"])?,
            origins => Cors::of(origins)?,
        };
        let cors = match self.credentials {
            true => cors.credentials()?,
            false => cors,
        };
        let cors = cors
            .methods(&self.methods)?
            .headers(&self.headers)?
            .expose(&self.expose_headers)?
            .max_age(Duration::from_secs(self.max_age_s.into()));
        Ok((!self.origins.is_empty()).then_some(cors))
    }

    /// The key an error comes from.
    pub(crate) fn key_of(error: &InvalidCors) -> &'static str {
        match error {
            InvalidCors::Origin(_) | InvalidCors::NoOrigin => "cors.origins",
            InvalidCors::CredentialsForAny => "cors.credentials",
            InvalidCors::Method(_) => "cors.methods",
            InvalidCors::Header(_) => "cors.headers",
            InvalidCors::Exposed(_) => "cors.expose_headers",
        }
    }
}
