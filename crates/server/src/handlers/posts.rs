//! `/api/posts`: pages of posts, with their authors from the same join when
//! asked, and single posts.

use super::cached::{Document, answer_list, list_tags};
use super::conditional::row_date;
use super::cursor::{self, CursorOrder};
use super::json::ObjectWriter;
use super::list_key::ListKey;
use super::page::{self, PageRequest};
use super::query::QueryPairs;
use super::store_fault::store_fault;
use super::users::parse_id;
use super::validate::Faults;
use crate::store::{Cursor, PageStart, Post, PostQuery, Store};
use corelane::internals::clock;
use corelane::internals::semantics::LastModified;
use corelane::{App, Ctx, Error, Response};

/// Pattern of the collection.
pub const POSTS: &str = "/api/posts";
/// Pattern of one post.
pub const POST: &str = "/api/posts/{id}";

/// Default `Cache-Control` by pattern: kept, and asked about; a post goes when
/// its author does, and shows the author's address.
pub const CACHE_CONTROL: &[(&str, &str)] =
    &[(POSTS, "private, no-cache"), (POST, "private, no-cache")];

/// Adds the routes.
pub fn install(app: App) -> App {
    app.get(POSTS, list).get(POST, one)
}

async fn list(ctx: Ctx) -> Result<Response, Error> {
    let request = PostsRequest::parse(ctx.query_string())?;
    let key = request.key();
    let store = ctx.state::<Store>();
    let load = move || async move {
        let found = store.posts(&request.query).await.map_err(store_fault)?;
        let next = found.next_after_id.map(|id| request.next_link(id));
        let body = page::envelope(&request.page, &found.rows, next.as_deref(), |out, post| {
            push_post(out, post, request.query.populate_author);
        });
        Ok(Document::of_body(body, next))
    };
    answer_list(&ctx, POSTS, key, list_tags::POSTS_AND_AUTHORS, load).await
}

/// The date of a post that was read from `looked_ms` of Unix time on. Only a
/// statement by hand changes one.
fn post_date(post: &Post, looked_ms: i64) -> LastModified {
    let is_first = post.updated_at_ms == post.created_at_ms;
    row_date(is_first, post.created_at_ms, post.updated_at_ms, looked_ms)
}

async fn one(ctx: Ctx) -> Result<Response, Error> {
    let populate = parse_of_one(ctx.query_string())?;
    let id = ctx.param_str("id").as_deref().and_then(parse_id);
    let id = id.ok_or_else(no_such_post)?;
    let store = ctx.state::<Store>();
    let load = move || async move {
        let looked_ms = clock::unix_ms();
        let post = if populate {
            let page = store.posts(&exactly(id)).await.map_err(store_fault)?;
            page.rows.into_iter().find(|post| post.id == id)
        } else {
            store.post(id).await.map_err(store_fault)?
        };
        let post = post.ok_or_else(no_such_post)?;
        let mut body = Vec::with_capacity(POST_JSON_BYTES);
        push_post(&mut body, &post, populate);
        Ok(Document {
            // Its author may have changed later.
            last_modified: (!populate).then(|| post_date(&post, looked_ms)),
            ..Document::of_body(body, None)
        })
    };
    let tags = match populate {
        true => list_tags::POSTS_AND_AUTHORS,
        false => list_tags::POSTS,
    };
    answer_list(&ctx, POST, key_of_one(id, populate), tags, load).await
}

/// Whether one post is asked for with its author.
fn parse_of_one(query: Option<&str>) -> Result<bool, Error> {
    let mut faults = Faults::new();
    let pairs = QueryPairs::parse(query, &["populate"], &mut faults);
    let populate = parse_populate(&pairs, &mut faults);
    faults.unless_any(Some(populate))
}

fn key_of_one(id: i64, populate: bool) -> ListKey {
    ListKey::new(&format!("{POSTS}/{id}")).with_some("populate", populate.then_some("author"))
}

/// What is kept under when it is asked for by this path and query.
pub(super) fn list_key(path: &str, query: Option<&str>) -> Option<ListKey> {
    let rest = path.strip_prefix(POSTS)?;
    if rest.is_empty() {
        return PostsRequest::parse(query).ok().map(|request| request.key());
    }
    let id = rest.strip_prefix('/').and_then(parse_id)?;
    Some(key_of_one(id, parse_of_one(query).ok()?))
}

/// The join of the list, narrowed to the first post from `id` on.
fn exactly(id: i64) -> PostQuery {
    PostQuery {
        author_id: None,
        populate_author: true,
        after_id: Some(id - 1),
        offset: 0,
        limit: 1,
    }
}

fn no_such_post() -> Error {
    Error::not_found("there is no post with this id")
}

/// First guess of a post's JSON; the buffer grows.
const POST_JSON_BYTES: usize = 1_024;

/// A posts list as it was asked for.
#[derive(Debug, Clone, PartialEq)]
struct PostsRequest {
    query: PostQuery,
    page: PageRequest,
}

impl PostsRequest {
    /// 422 names every parameter that is wrong or unknown.
    fn parse(query: Option<&str>) -> Result<Self, Error> {
        let mut faults = Faults::new();
        let pairs = QueryPairs::parse(query, PARAMETERS, &mut faults);
        let populate_author = parse_populate(&pairs, &mut faults);
        let author_id = pairs.integer("author_id", 1..=i64::MAX, &mut faults);
        let page = PageRequest::parse(&pairs, Some(CursorOrder::Posts), &mut faults);
        let request = page.map(|page| {
            let (after_id, offset) = match &page.start {
                PageStart::Offset(rows) => (None, *rows),
                PageStart::After(cursor) => (Some(cursor.id), 0),
            };
            let query = PostQuery {
                author_id,
                populate_author,
                after_id,
                offset,
                limit: page.limit,
            };
            Self { query, page }
        });
        faults.unless_any(request)
    }

    fn key(&self) -> ListKey {
        self.with_filters(self.page.key(POSTS, CursorOrder::Posts))
    }

    fn next_link(&self, after_id: i64) -> String {
        let cursor = Cursor {
            id: after_id,
            name_age: None,
        };
        let after = cursor::encode(CursorOrder::Posts, &cursor);
        let link = ListKey::new(POSTS).with("limit", &self.query.limit.to_string());
        self.with_filters(link).with("after", &after).into_link()
    }

    /// Adds what says which posts are listed, and how.
    fn with_filters(&self, list: ListKey) -> ListKey {
        let populate = self.query.populate_author.then_some("author");
        list.with_some("populate", populate)
            .with_some("author_id", self.query.author_id)
    }
}

const PARAMETERS: &[&str] = &["populate", "author_id", "page", "limit", "after"];

fn parse_populate(pairs: &QueryPairs<'_>, faults: &mut Faults) -> bool {
    match pairs.text("populate") {
        None => false,
        Some("author") => true,
        Some(_) => {
            faults.add("populate", "must be `author`");
            false
        }
    }
}

fn push_post(out: &mut Vec<u8>, post: &Post, populate: bool) {
    let mut object = ObjectWriter::open(out);
    object.integer("id", post.id);
    object.integer("author_id", post.author_id);
    object.text("title", &post.title);
    object.text("body", &post.body);
    object.time("created_at", post.created_at_ms);
    match &post.author {
        Some(author) => {
            let mut inner = ObjectWriter::open(object.member("author"));
            inner.integer("id", author.id);
            inner.text("name", &author.name);
            inner.text("email", &author.email);
            inner.close();
        }
        None if populate => object.null("author"),
        None => {}
    }
    object.close();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::PostAuthor;

    #[test]
    fn following_next_asks_for_the_same_list() {
        let first = PostsRequest::parse(Some("author_id=3&populate=author&limit=5&page=2"));
        let first = first.unwrap();
        assert_eq!((first.query.offset, first.query.after_id), (5, None));
        let link = first.next_link(77);
        assert!(link.starts_with("/api/posts?limit=5&populate=author&author_id=3&after="));
        let second = PostsRequest::parse(link.strip_prefix("/api/posts?")).unwrap();
        let expected = PostQuery {
            after_id: Some(77),
            offset: 0,
            ..first.query
        };
        assert_eq!(second.query, expected);
        assert_eq!(second.page.number, None);
    }

    #[test]
    fn every_wrong_parameter_is_named_at_once() {
        let error = PostsRequest::parse(Some("populate=autor&author_id=0&sort=id")).unwrap_err();
        let fields: Vec<&str> = error.fields().iter().map(|f| f.field.as_str()).collect();
        assert_eq!(fields, ["sort", "populate", "author_id"]);
    }

    #[test]
    fn a_post_is_written_byte_for_byte() {
        let mut post = Post {
            id: 7,
            author_id: 42,
            title: "On \"engines\"".into(),
            body: "a\nb".into(),
            created_at_ms: 0,
            updated_at_ms: 0,
            author: None,
        };
        let text = |post: &Post, populate| {
            let mut out = Vec::new();
            push_post(&mut out, post, populate);
            String::from_utf8(out).unwrap()
        };
        let start = "{\"id\":7,\"author_id\":42,\"title\":\"On \\\"engines\\\"\",\
                     \"body\":\"a\\nb\",\"created_at\":\"1970-01-01T00:00:00.000Z\"";
        assert_eq!(text(&post, false), format!("{start}}}"));
        assert_eq!(text(&post, true), format!("{start},\"author\":null}}"));
        post.author = Some(PostAuthor {
            id: 42,
            name: "Ada".into(),
            email: "ada@example.org".into(),
        });
        let author = "\"author\":{\"id\":42,\"name\":\"Ada\",\"email\":\"ada@example.org\"}";
        assert_eq!(text(&post, true), format!("{start},{author}}}"));
    }
}
