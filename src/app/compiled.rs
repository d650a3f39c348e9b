//! An app as one shard runs it: where a request leads, and what it runs
//! through on the way.

use std::rc::Rc;
use std::sync::Arc;

use corelane_proto::http::RequestHead;
use http::{HeaderValue, Method, StatusCode, header};

use super::handler::{HandlerFuture, MiddlewareChain, run_chain};
use super::{Ctx, Handler, ListenerKind, Response};
use crate::Error;
use crate::router::{Match, Params, Router};

/// One shard's routers and chains.
pub(crate) struct CompiledApp {
    pub(super) public: RouteTable,
    pub(super) admin: RouteTable,
    /// Of both listeners, so that an index names one route of the whole app.
    pub(crate) routes: Vec<RouteEntry>,
}

/// What a listener leads to.
pub(super) struct RouteTable {
    pub(super) router: Router<usize>,
    /// Around whatever has no route.
    pub(super) middleware: MiddlewareChain,
    pub(super) fallback: Option<Arc<dyn Handler>>,
}

/// What a matched route runs.
pub(crate) struct RouteEntry {
    pub(crate) pattern: Rc<str>,
    pub(super) handler: Arc<dyn Handler>,
    pub(super) middleware: MiddlewareChain,
    pub(crate) body_bytes_max: Option<u64>,
}

/// Why a request has no route.
#[derive(Debug, Clone)]
pub(crate) enum Unrouted {
    /// No pattern fits its path.
    NotFound,
    /// It asks which methods there are.
    Options { allow: HeaderValue },
    /// A pattern fits, for other methods.
    MethodNotAllowed { allow: HeaderValue },
}

impl CompiledApp {
    /// The index of the route of a request that came in at `listener`.
    pub(crate) fn route(
        &self,
        listener: ListenerKind,
        head: &RequestHead,
        params: &mut Params,
    ) -> Result<usize, Unrouted> {
        if head.target() == "*" {
            let allow = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
            return Err(Unrouted::Options { allow });
        }
        let router = &self.table(listener).router;
        match router.find(head.method(), head.path(), params) {
            Match::Found(route) => Ok(*route),
            Match::MethodNotAllowed { allow } => {
                let allow = HeaderValue::from_str(allow)
                    .unwrap_or_else(|_| HeaderValue::from_static("OPTIONS"));
                Err(match *head.method() == Method::OPTIONS {
                    true => Unrouted::Options { allow },
                    false => Unrouted::MethodNotAllowed { allow },
                })
            }
            Match::NotFound => Err(Unrouted::NotFound),
        }
    }

    /// Starts answering: middleware, then the handler, or for a request
    /// without a route the fallback or what HTTP asks for.
    pub(crate) fn start(
        &self,
        listener: ListenerKind,
        routed: Result<usize, Unrouted>,
        ctx: Ctx,
    ) -> HandlerFuture {
        let table = self.table(listener);
        match (routed, &table.fallback) {
            (Ok(route), _) => {
                let route = &self.routes[route];
                run_chain(&route.middleware, &route.handler, ctx)
            }
            (Err(Unrouted::NotFound), Some(fallback)) => {
                run_chain(&table.middleware, fallback, ctx)
            }
            (Err(unrouted), _) => {
                let handler: Arc<dyn Handler> = Arc::new(move |_| {
                    let answer = unrouted.answer();
                    async move { answer }
                });
                run_chain(&table.middleware, &handler, ctx)
            }
        }
    }

    fn table(&self, listener: ListenerKind) -> &RouteTable {
        match listener {
            ListenerKind::Public => &self.public,
            ListenerKind::Admin => &self.admin,
        }
    }
}

impl Unrouted {
    fn answer(&self) -> Result<Response, Error> {
        match self {
            Self::NotFound => Err(Error::not_found("there is nothing at this path")),
            Self::Options { allow } => {
                let mut response = Response::no_content();
                response.insert_header(header::ALLOW, allow.clone());
                Ok(response)
            }
            Self::MethodNotAllowed { allow } => {
                let methods = allow.to_str().unwrap_or_default();
                let detail = format!("this resource allows {methods}");
                let error = Error::new(StatusCode::METHOD_NOT_ALLOWED, detail);
                Err(error.with_header(header::ALLOW, allow.clone()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::app::{App, AppError, Response};

    fn ok() -> App {
        App::new().get("/", async |_| Ok(Response::text("ok\n")))
    }

    #[test]
    fn an_app_says_at_start_what_is_wrong_with_it() {
        let u32_state = |app: App| app.state(|_| async { Ok(7_u32) });
        let twice = u32_state(u32_state(ok()));
        assert!(matches!(
            twice.check(),
            Err(AppError::StateTwice { type_name: "u32" })
        ));
        let nested_twice = u32_state(ok()).nest("/a", u32_state(ok()));
        assert_eq!(nested_twice.check(), twice.check());
        assert!(matches!(
            ok().nest("/a", ok().requires_state::<u32>()).check(),
            Err(AppError::StateMissing { type_name: "u32" })
        ));
        assert!(matches!(
            ok().get("/", async |_| Ok(Response::no_content())).check(),
            Err(AppError::Route(_))
        ));
        assert_eq!(u32_state(ok()).requires_state::<u32>().check(), Ok(()));
    }

    #[test]
    fn an_app_is_nested_at_a_prefix_and_without_a_fallback() {
        for prefix in ["", "a", "/", "/a/"] {
            let error = ok().nest(prefix, ok()).check().unwrap_err();
            assert!(error.to_string().contains("begins with `/`"), "{error}");
        }
        let inner = ok().fallback(async |_| Ok(Response::no_content()));
        let error = ok().nest("/a", inner).check().unwrap_err();
        assert!(error.to_string().contains("fallback"), "{error}");
        assert_eq!(ok().nest("/a", ok()).nest("/{b}", ok()).check(), Ok(()));
    }

    #[test]
    fn there_is_one_admin_app_without_a_fallback_or_an_admin_app_of_its_own() {
        let refused = |app: App, word: &str| {
            let error = app.check().unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        };
        let with_fallback = || ok().fallback(async |_| Ok(Response::no_content()));
        refused(ok().admin(with_fallback()), "fallback");
        refused(ok().admin(ok().admin(ok())), "of its own");
        refused(ok().admin(ok()).admin(ok()), "twice");
        refused(ok().nest("/a", ok().admin(ok())), "outermost");
        let twice = ok().admin(ok().get("/", async |_| Ok(Response::no_content())));
        assert!(matches!(twice.check(), Err(AppError::Route(_))));
        let state = |app: App| app.state(|_| async { Ok(7_u32) });
        refused(state(ok()).admin(state(ok())), "u32");
        // The same pattern at both listeners is two routes, with a name each.
        let app = with_fallback().admin(ok());
        assert_eq!(app.check(), Ok(()));
        let names = app.route_names();
        assert_eq!(names[0].pattern.as_ref(), "/");
        assert_eq!(names[1].pattern.as_ref(), "admin:/");
    }
}
