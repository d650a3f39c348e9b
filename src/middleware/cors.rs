//! Cross-origin requests of browsers (CORS): which other sites' pages may read
//! this server's answers, by the Fetch standard (section 3.2, "CORS protocol").
//!
//! A browser asks first (a preflight, OPTIONS) where a page wants more than a
//! form could; it is answered here and reaches no handler. On the way out every
//! other answer, errors too, says whether the page that asked may read it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use corelane_proto::http::Origin;
use corelane_proto::http::has_member;
use http::{HeaderName, HeaderValue, Method, header};

use crate::Error;
use crate::app::{Ctx, Middleware, Next, Response};

/// Middleware that lets pages of other origins use an app, a group or a route.
/// Put it outermost, so that the answers of other middleware are readable too.
///
/// ```
/// use corelane::middleware::Cors;
/// use corelane::{App, Response};
///
/// let cors = Cors::of(["https://app.example.org"])?.credentials()?;
/// let app = App::new()
///     .middleware(cors)
///     .get("/", async |_| Ok(Response::text("hello\n")));
/// # app.check().unwrap();
/// # assert!(Cors::any().credentials().is_err());
/// # Ok::<(), corelane::middleware::InvalidCors>(())
/// ```
///
/// Origins are exact, so answers say `Vary: Origin`, also to requests without
/// one: a cache in between must not hand one page's permission to another. What
/// an origin that is not listed is told is the answer without permission, which
/// its browser keeps from it: CORS keeps nobody from sending.
#[derive(Debug, Clone)]
pub struct Cors(Arc<Plan>);

#[derive(Debug, Clone)]
struct Plan {
    origins: Origins,
    credentials: bool,
    methods: HeaderValue,
    request_headers: RequestHeaders,
    exposed: Option<HeaderValue>,
    max_age: HeaderValue,
}

#[derive(Debug, Clone)]
enum Origins {
    Any,
    These(Vec<Origin>),
}

/// What a page may send beside what a form can.
#[derive(Debug, Clone)]
enum RequestHeaders {
    /// Whatever it asks for.
    Any,
    These(HeaderValue),
}

/// Something [`Cors`] cannot be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvalidCors {
    /// Not an origin.
    Origin(String),
    /// No page would ever be let in.
    NoOrigin,
    /// Any site could act for whoever is logged in here.
    CredentialsForAny,
    /// Not a method.
    Method(String),
    /// Not a name of a header that pages send.
    Header(String),
    /// Not a name of a header that pages read.
    Exposed(String),
}

impl Cors {
    /// How long a browser need not ask again, by default. Chromium keeps no
    /// answer longer than two hours, whatever it is told.
    pub const MAX_AGE_DEFAULT: Duration = Duration::from_secs(600);
    /// The methods of [`of`](Self::of) and [`any`](Self::any).
    pub const METHODS_DEFAULT: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
    /// What a page may send, by default: bodies, credentials, conditions, ids.
    pub const HEADERS_DEFAULT: [&str; 5] = [
        "authorization",
        "content-type",
        "if-match",
        "if-none-match",
        "x-request-id",
    ];
    /// What a page may read, by default, beside what every page may.
    pub const EXPOSED_DEFAULT: [&str; 7] = [
        "etag",
        "link",
        "location",
        "ratelimit",
        "ratelimit-policy",
        "retry-after",
        "x-request-id",
    ];

    /// Lets in the pages of these origins: scheme, host and, where it is not the
    /// scheme's, port, as `https://app.example.org`.
    ///
    /// # Errors
    /// [`InvalidCors::Origin`], [`InvalidCors::NoOrigin`].
    pub fn of<T: AsRef<str>>(origins: impl IntoIterator<Item = T>) -> Result<Self, InvalidCors> {
        let parse = |text: T| {
            let text = text.as_ref();
            let origin = Origin::parse(text.as_bytes());
            origin.ok_or_else(|| InvalidCors::Origin(text.to_owned()))
        };
        let origins: Vec<_> = origins.into_iter().map(parse).collect::<Result<_, _>>()?;
        if origins.is_empty() {
            return Err(InvalidCors::NoOrigin);
        }
        Ok(Self::with_origins(Origins::These(origins)))
    }

    /// Lets in every page, without cookies: for what is public anyway.
    pub fn any() -> Self {
        Self::with_origins(Origins::Any)
    }

    fn with_origins(origins: Origins) -> Self {
        Self(Arc::new(Plan {
            origins,
            credentials: false,
            methods: list(Self::METHODS_DEFAULT),
            request_headers: RequestHeaders::These(list(Self::HEADERS_DEFAULT)),
            exposed: Some(list(Self::EXPOSED_DEFAULT)),
            max_age: HeaderValue::from(Self::MAX_AGE_DEFAULT.as_secs()),
        }))
    }

    /// Lets those pages send cookies and read the answers. To log in and change
    /// something with a session they must be in
    /// [`SessionOptions::allowed_origins`](crate::session::SessionOptions) too,
    /// and the cookie's `SameSite` must let it be sent.
    ///
    /// # Errors
    /// [`InvalidCors::CredentialsForAny`].
    pub fn credentials(mut self) -> Result<Self, InvalidCors> {
        if matches!(self.0.origins, Origins::Any) {
            return Err(InvalidCors::CredentialsForAny);
        }
        self.change().credentials = true;
        Ok(self)
    }

    /// The methods that pages may use instead of
    /// [`METHODS_DEFAULT`](Self::METHODS_DEFAULT).
    ///
    /// # Errors
    /// [`InvalidCors::Method`].
    pub fn methods<T: AsRef<str>>(
        mut self,
        methods: impl IntoIterator<Item = T>,
    ) -> Result<Self, InvalidCors> {
        self.change().methods = list(
            methods
                .into_iter()
                .map(|text| {
                    let text = text.as_ref();
                    // Browsers compare by case, and know the usual ones in capitals only.
                    let is_method = text == text.to_ascii_uppercase() && text != "*";
                    match Method::from_bytes(text.as_bytes()) {
                        Ok(_) if is_method => Ok(text.to_owned()),
                        _ => Err(InvalidCors::Method(text.to_owned())),
                    }
                })
                .collect::<Result<Vec<_>, _>>()?,
        );
        Ok(self)
    }

    /// The headers that pages may send instead of
    /// [`HEADERS_DEFAULT`](Self::HEADERS_DEFAULT); `*` alone is whatever they
    /// ask for.
    ///
    /// # Errors
    /// [`InvalidCors::Header`].
    pub fn headers<T: AsRef<str>>(
        mut self,
        names: impl IntoIterator<Item = T>,
    ) -> Result<Self, InvalidCors> {
        let names: Vec<_> = names.into_iter().collect();
        self.change().request_headers = match &names[..] {
            [only] if only.as_ref() == "*" => RequestHeaders::Any,
            _ => RequestHeaders::These(list(header_names(&names).map_err(InvalidCors::Header)?)),
        };
        Ok(self)
    }

    /// The headers that pages may read instead of
    /// [`EXPOSED_DEFAULT`](Self::EXPOSED_DEFAULT).
    ///
    /// # Errors
    /// [`InvalidCors::Exposed`].
    pub fn expose<T: AsRef<str>>(
        mut self,
        names: impl IntoIterator<Item = T>,
    ) -> Result<Self, InvalidCors> {
        let names: Vec<_> = names.into_iter().collect();
        let names = header_names(&names).map_err(InvalidCors::Exposed)?;
        self.change().exposed = (!names.is_empty()).then(|| list(names));
        Ok(self)
    }

    /// How long a browser need not ask again, in whole seconds; 0 has it ask
    /// each time.
    #[must_use]
    pub fn max_age(mut self, time: Duration) -> Self {
        self.change().max_age = HeaderValue::from(time.as_secs());
        self
    }

    fn change(&mut self) -> &mut Plan {
        Arc::make_mut(&mut self.0)
    }
}

impl fmt::Display for InvalidCors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Origin(text) => write!(
                f,
                "{text:?} is no origin; write it as in \"https://app.example.org\", without a path \
                 (\"*\" alone lets in every page, without cookies)"
            ),
            Self::NoOrigin => f.write_str("no origin is listed, so that no page could be let in"),
            Self::CredentialsForAny => f.write_str(
                "with credentials every site could act for whoever is logged in here; list the \
                 origins instead of \"*\"",
            ),
            Self::Method(text) => write!(f, "{text:?} is no method; write it as in \"PATCH\""),
            Self::Header(text) | Self::Exposed(text) => {
                write!(
                    f,
                    "{text:?} is no header's name; write it as in \"x-api-key\""
                )
            }
        }
    }
}

impl std::error::Error for InvalidCors {}

impl Middleware for Cors {
    fn call(&self, ctx: Ctx, next: Next) -> Pin<Box<dyn Future<Output = Result<Response, Error>>>> {
        let plan = self.0.clone();
        Box::pin(async move {
            let page = plan.page_of(&ctx);
            if page.is_some() && is_preflight(&ctx) {
                return Ok(plan.answer_preflight(&ctx, page));
            }
            match next.run(ctx).await {
                Ok(mut response) => {
                    plan.tell(page, |name, value| add(&mut response, name, value));
                    Ok(response)
                }
                Err(mut error) => {
                    plan.tell(page, |name, value| error.add_header(name, value));
                    Err(error)
                }
            }
        })
    }
}

/// A page that asks from elsewhere, or from here: browsers send `Origin` with
/// every POST.
enum Page {
    /// What its answers are permitted to.
    Allowed(HeaderValue),
    Refused,
}

impl Plan {
    /// `None` when no page asks. Two `Origin` lines are nobody's.
    fn page_of(&self, ctx: &Ctx) -> Option<Page> {
        let mut lines = ctx.header_all(&header::ORIGIN);
        let line = lines.next()?;
        if lines.next().is_some() {
            return Some(Page::Refused);
        }
        Some(match &self.origins {
            Origins::Any => Page::Allowed(HeaderValue::from_static("*")),
            Origins::These(origins) => {
                let origin = Origin::parse(line).filter(|origin| origins.contains(origin));
                match (origin, HeaderValue::from_bytes(line)) {
                    (Some(_), Ok(line)) => Page::Allowed(line),
                    _ => Page::Refused,
                }
            }
        })
    }

    fn answer_preflight(&self, ctx: &Ctx, page: Option<Page>) -> Response {
        let mut response = Response::no_content();
        let asked = ctx.header_bytes(&header::ACCESS_CONTROL_REQUEST_HEADERS);
        response.append_header(
            header::VARY,
            HeaderValue::from_static(
                "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
            ),
        );
        let Some(Page::Allowed(origin)) = page else {
            return response;
        };
        response.append_header(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.credentials {
            response.append_header(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
        }
        response.append_header(header::ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
        let headers = match &self.request_headers {
            RequestHeaders::These(names) => Some(names.clone()),
            RequestHeaders::Any => asked.and_then(|asked| HeaderValue::from_bytes(asked).ok()),
        };
        if let Some(headers) = headers {
            response.append_header(header::ACCESS_CONTROL_ALLOW_HEADERS, headers);
        }
        response.append_header(header::ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        response
    }

    /// The headers of any other answer.
    fn tell(&self, page: Option<Page>, mut add: impl FnMut(HeaderName, HeaderValue)) {
        if matches!(self.origins, Origins::These(_)) {
            add(header::VARY, HeaderValue::from_static("Origin"));
        }
        // Whoever is told alike is told always: a cache may keep the answer to a
        // request without an origin for one with it.
        let page = match self.origins {
            Origins::Any => Some(Page::Allowed(HeaderValue::from_static("*"))),
            Origins::These(_) => page,
        };
        let Some(Page::Allowed(origin)) = page else {
            return;
        };
        add(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.credentials {
            add(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
        }
        if let Some(exposed) = &self.exposed {
            add(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
        }
    }
}

/// `Vary` beside what the handler said of it; of everything else one is meant.
fn add(response: &mut Response, name: HeaderName, value: HeaderValue) {
    if name != header::VARY {
        return response.insert_header(name, value);
    }
    let says_so = response
        .headers()
        .any(|(name, value)| *name == header::VARY && has_member(value.as_bytes(), b"origin"));
    if !says_so {
        response.append_header(name, value);
    }
}

fn is_preflight(ctx: &Ctx) -> bool {
    let asks = ctx.header_bytes(&header::ACCESS_CONTROL_REQUEST_METHOD);
    *ctx.method() == Method::OPTIONS && asks.is_some()
}

fn header_names<T: AsRef<str>>(names: &[T]) -> Result<Vec<String>, String> {
    let parse = |text: &T| {
        let name = HeaderName::from_bytes(text.as_ref().as_bytes());
        // A browser takes `*` for a name when cookies are sent.
        let name = name.ok().filter(|name| name.as_str() != "*");
        let name = name.ok_or_else(|| text.as_ref().to_owned())?;
        Ok(name.as_str().to_owned())
    };
    names.iter().map(parse).collect()
}

/// Of names that were checked.
fn list<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> HeaderValue {
    let mut text = String::new();
    for name in names {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(name.as_ref());
    }
    HeaderValue::try_from(text).expect("tokens are visible")
}

const TRUE: HeaderValue = HeaderValue::from_static("true");
