//! `GET /`: one page that lists the endpoints, with links to follow and curl
//! lines to paste. Nothing is loaded from elsewhere.

use http::{HeaderValue, header};

use corelane::{Ctx, Error, Response};

/// Answers `GET /`.
///
/// # Errors
/// None.
pub async fn index(ctx: Ctx) -> Result<Response, Error> {
    let mut response = Response::html(page(shown_host(ctx.host())));
    response.insert_header(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response.insert_header(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'"),
    );
    Ok(response)
}

/// A group of endpoints under a heading.
struct Section {
    title: &'static str,
    endpoints: &'static [Endpoint],
}

struct Endpoint {
    method: &'static str,
    /// The pattern as the router has it, with the query it understands.
    pattern: &'static str,
    about: &'static str,
    /// A path to follow, for endpoints that are safe to click.
    link: Option<&'static str>,
    /// What goes between `curl` and the URL.
    curl: &'static str,
    /// The path and query of the curl line.
    target: &'static str,
}

impl Endpoint {
    /// An endpoint whose example is one link.
    const fn get(pattern: &'static str, target: &'static str, about: &'static str) -> Self {
        Self {
            method: "GET",
            pattern,
            about,
            link: Some(target),
            curl: "",
            target,
        }
    }

    /// An endpoint that changes something, or that a link cannot show.
    const fn other(
        method: &'static str,
        pattern: &'static str,
        curl: &'static str,
        target: &'static str,
        about: &'static str,
    ) -> Self {
        Self {
            method,
            pattern,
            about,
            link: None,
            curl,
            target,
        }
    }
}

const USERS: Section = Section {
    title: "Users",
    endpoints: &[
        Endpoint::get(
            "/api/users",
            "/api/users?limit=5&fields=id,name,age&sort=name",
            "A page of users: page, limit, fields, sort, name, min_age; after= goes on where a \
             page ended, at any depth at the same cost.",
        ),
        Endpoint::get(
            "/api/users/{id}",
            "/api/users/1",
            "One user, with ETag and Last-Modified.",
        ),
        Endpoint::get(
            "/api/users/batch",
            "/api/users/batch?ids=3,1,2",
            "Several users in one load, in the order asked; missing ones are null.",
        ),
        Endpoint::get(
            "/api/users/near",
            "/api/users/near?lat=48.2&lon=16.4&radius_km=500",
            "Users near a point, nearest first.",
        ),
        Endpoint::get(
            "/api/users/export",
            "/api/users/export",
            "The whole table as NDJSON, streamed in constant memory.",
        ),
        Endpoint::other(
            "POST",
            "/api/users",
            r#"--json '{"name":"Ada","email":"ada@example.com","age":36}'"#,
            "/api/users",
            "Creates a user; answered once it is durable.",
        ),
        Endpoint::other(
            "PUT",
            "/api/users/{id}",
            r#"-X PUT --json '{"name":"Ada","email":"ada@example.org","age":37}'"#,
            "/api/users/1",
            "Replaces a user; If-Match guards against lost updates.",
        ),
        Endpoint::other(
            "PATCH",
            "/api/users/{id}",
            r#"-X PATCH --json '{"age":38}'"#,
            "/api/users/1",
            "Changes the fields given.",
        ),
        Endpoint::other(
            "DELETE",
            "/api/users/{id}",
            "-X DELETE",
            "/api/users/1000",
            "Deletes a user.",
        ),
    ],
};

const POSTS: Section = Section {
    title: "Posts",
    endpoints: &[
        Endpoint::get(
            "/api/posts",
            "/api/posts?populate=author&limit=5",
            "Posts; with populate=author their authors come from the same join.",
        ),
        Endpoint::get("/api/posts/{id}", "/api/posts/1", "One post."),
    ],
};

const SESSIONS: Section = Section {
    title: "Sessions",
    endpoints: &[
        Endpoint::other(
            "POST",
            "/api/session",
            r#"-c jar --json '{"email":"…","password":"corelane-demo"}'"#,
            "/api/session",
            "Logs a user in: any demo user's email, and the demo password.",
        ),
        Endpoint::other(
            "GET",
            "/api/session",
            "-b jar",
            "/api/session",
            "The session of the cookie, or 401.",
        ),
        Endpoint::other(
            "DELETE",
            "/api/session",
            "-b jar -X DELETE",
            "/api/session",
            "Logs out.",
        ),
    ],
};

const CACHING: Section = Section {
    title: "HTTP caching and files",
    endpoints: &[
        Endpoint::get(
            "/resource",
            "/resource",
            "Has an ETag; asked again with it, answers 304.",
        ),
        Endpoint::get(
            "/static-resource",
            "/static-resource",
            "May be cached for one year.",
        ),
        Endpoint::other(
            "GET",
            "/static/{*path}",
            "-I",
            "/static/",
            "Files of the static folder, if the server was given one: ranges, precompressed \
             variants, conditional requests.",
        ),
    ],
};

const OPERATION: Section = Section {
    title: "Operation",
    endpoints: &[
        Endpoint::get(
            "/metrics",
            "/metrics",
            "Requests, errors and times: by route, by shard.",
        ),
        Endpoint::get(
            "/metrics",
            "/metrics?format=prometheus",
            "The same for Prometheus.",
        ),
        Endpoint::get(
            "/health",
            "/health",
            "Uptime, and whether the database answers.",
        ),
        Endpoint::get(
            "/health/live",
            "/health/live",
            "200 while the process turns.",
        ),
        Endpoint::get(
            "/health/ready",
            "/health/ready",
            "503 while it drains or has no database.",
        ),
    ],
};

const SECTIONS: [&Section; 5] = [&USERS, &POSTS, &SESSIONS, &CACHING, &OPERATION];

/// The host as the curl lines show it. It comes from the client and goes into
/// a page and from there into a shell: only what a host can be made of.
fn shown_host(host: &str) -> &str {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".-:[]".contains(&b);
    let is_plain = !host.is_empty() && host.len() <= HOST_BYTES_MAX && host.bytes().all(plain);
    if is_plain { host } else { "localhost:3000" }
}

/// The longest name DNS has, and a port.
const HOST_BYTES_MAX: usize = 253 + 6;

fn page(host: &str) -> String {
    let mut body = String::with_capacity(16 * 1024);
    for section in SECTIONS {
        push_section(section, host, &mut body);
    }
    TEMPLATE.replacen("<!-- endpoints -->", &body, 1)
}

const TEMPLATE: &str = include_str!("index.html");

fn push_section(section: &Section, host: &str, out: &mut String) {
    out.push_str("<section>\n<h2>");
    push_escaped(section.title, out);
    out.push_str("</h2>\n");
    for endpoint in section.endpoints {
        push_endpoint(endpoint, host, out);
    }
    out.push_str("</section>\n");
}

fn push_endpoint(endpoint: &Endpoint, host: &str, out: &mut String) {
    out.push_str("<article>\n<h3><span class=\"");
    out.push_str(&endpoint.method.to_ascii_lowercase());
    out.push_str("\">");
    out.push_str(endpoint.method);
    out.push_str("</span> ");
    match endpoint.link {
        Some(link) => {
            out.push_str("<a href=\"");
            push_escaped(link, out);
            out.push_str("\">");
            push_escaped(endpoint.pattern, out);
            out.push_str("</a>");
        }
        None => push_escaped(endpoint.pattern, out),
    }
    out.push_str("</h3>\n<p>");
    push_escaped(endpoint.about, out);
    out.push_str("</p>\n<pre>curl ");
    if !endpoint.curl.is_empty() {
        push_escaped(endpoint.curl, out);
        out.push(' ');
    }
    push_escaped(&format!("'http://{host}{}'", endpoint.target), out);
    out.push_str("</pre>\n</article>\n");
}

fn push_escaped(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_is_on_the_page_once_with_its_example() {
        let page = page("api.example:8080");
        assert!(page.starts_with("<!doctype html>"));
        assert!(!page.contains("<!-- endpoints -->"));
        let endpoints = SECTIONS.iter().flat_map(|section| section.endpoints);
        let mut count = 0;
        for endpoint in endpoints {
            let mut example = String::new();
            push_escaped(
                &format!("'http://api.example:8080{}'", endpoint.target),
                &mut example,
            );
            assert!(page.contains(&example), "{example}");
            if let Some(link) = endpoint.link {
                let mut href = String::from("href=\"");
                push_escaped(link, &mut href);
                href.push('"');
                assert_eq!(page.matches(&href).count(), 1, "{href}");
            }
            count += 1;
        }
        assert_eq!(page.matches("<article>").count(), count);
        assert_eq!(page.matches("</article>").count(), count);
    }

    #[test]
    fn a_hostile_host_reaches_neither_page_nor_shell() {
        for hostile in [
            "",
            "a'; rm -rf ~ #",
            "<script>",
            "a b",
            "$(id)",
            &"a".repeat(300),
        ] {
            assert_eq!(shown_host(hostile), "localhost:3000", "{hostile}");
        }
        for good in ["127.0.0.1:3000", "[::1]:3000", "api.example.com"] {
            assert_eq!(shown_host(good), good);
        }
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere() {
        let page = page("h");
        for asset in ["src=", "<link", "@import", "url(", "<script", "https://"] {
            assert!(!page.contains(asset), "{asset}");
        }
        let links = page
            .match_indices("href=\"")
            .map(|(at, text)| &page[at + text.len()..]);
        assert!(links.into_iter().all(|rest| rest.starts_with('/')));
    }
}
