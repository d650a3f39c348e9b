//! Which bytes are sent: ranges, conditions, HEAD, and long files that change
//! under way.

use std::io::{Seek, Write};

use super::*;

#[test]
fn long_files_are_streamed_in_bounded_chunks() {
    on_both_engines(async |site| {
        let content = bytes(LONG, 1);
        site.write("long.bin", &content);
        settle();
        let answer = site.get("long.bin").await;
        assert!(answer.is_streamed());
        assert!(answer.etag().starts_with('"'), "strong: {}", answer.etag());
        assert_eq!(answer.response.body().length(), Some(LONG as u64));
        let chunks = answer.chunks().await.unwrap();
        assert!(
            chunks
                .iter()
                .all(|c| c.len() <= crate::limits::FILE_CHUNK_BYTES)
        );
        assert!(chunks.concat() == content);
        assert_eq!(site.files.open_files.taken(), 0, "the place is given back");
    });
}

#[test]
fn files_around_the_limit_of_the_memory_and_of_a_chunk_are_whole() {
    on_both_engines(async |site| {
        let chunk = crate::limits::FILE_CHUNK_BYTES;
        let limit = CACHED_MAX as usize;
        for length in [
            0,
            1,
            limit - 1,
            limit,
            limit + 1,
            chunk - 1,
            chunk,
            chunk + 1,
            2 * chunk,
        ] {
            let name = format!("{length}.bin");
            let content = bytes(length, length as u64);
            site.write(&name, &content);
            let answer = site.get(&name).await;
            assert_eq!(answer.is_streamed(), length > limit, "{length}");
            // Few bytes or many, what is kept is prepared once.
            let is_prepared = answer.response.prepared_head().is_some();
            assert_eq!(is_prepared, length <= limit, "{length}");
            assert!(answer.body().await == content, "{length}");
        }
    });
}

#[test]
fn head_says_what_get_would() {
    on_both_engines(async |site| {
        site.write("small.txt", "small");
        site.write("long.bin", bytes(LONG, 1));
        settle();
        for name in ["small.txt", "long.bin"] {
            let get = site.get(name).await;
            let head = site.ask(Ask::head(name)).await;
            assert!(head.response.headers().eq(get.response.headers()), "{name}");
            assert_eq!(
                head.response.body().length(),
                get.response.body().length(),
                "{name}"
            );
            let ranged = site
                .ask(Ask::head(name).field(header::RANGE, "bytes=0-1"))
                .await;
            assert_eq!(ranged.status(), 200, "ranges are for GET");
        }
        assert_eq!(site.files.open_files.taken(), 0);
    });
}

#[test]
fn single_ranges_of_small_and_long_files() {
    on_both_engines(async |site| {
        for (name, length) in [("small.bin", 1_000), ("long.bin", LONG)] {
            let content = bytes(length, 7);
            site.write(name, &content);
            for (value, start, end) in [
                ("bytes=0-0".to_owned(), 0, 1),
                ("bytes=10-19".to_owned(), 10, 20),
                (format!("bytes={}-", length - 5), length - 5, length),
                ("bytes=-100".to_owned(), length - 100, length),
                ("bytes=0-".to_owned(), 0, length),
                ("bytes=500-999999999".to_owned(), 500, length),
            ] {
                let answer = site.ask(Ask::get(name).field(header::RANGE, &value)).await;
                assert_eq!(answer.status(), 206, "{name} {value}");
                let content_range = format!("bytes {start}-{}/{length}", end - 1);
                assert_eq!(
                    answer.header(header::CONTENT_RANGE),
                    Some(&content_range[..])
                );
                assert!(answer.header(header::ETAG).is_some());
                assert!(answer.body().await == content[start..end], "{name} {value}");
            }
            let beyond = site
                .ask(Ask::get(name).field(header::RANGE, "bytes=999999999-"))
                .await;
            assert_eq!(beyond.status(), 416);
            assert_eq!(
                beyond.header(header::CONTENT_RANGE),
                Some(&format!("bytes */{length}")[..])
            );
            let bad = site
                .ask(Ask::get(name).field(header::RANGE, "bytes=5-4"))
                .await;
            assert_eq!(bad.status(), 200);
        }
    });
}

#[test]
fn several_ranges_are_multipart_with_the_exact_length() {
    on_both_engines(async |site| {
        for (name, length) in [("small.html", 1_000), ("long.html", LONG)] {
            let content = bytes(length, 9);
            site.write(name, &content);
            let value = "bytes=900-999, 0-9, 100-109";
            let answer = site.ask(Ask::get(name).field(header::RANGE, value)).await;
            assert_eq!(answer.status(), 206);
            assert_eq!(answer.header(header::CONTENT_RANGE), None);
            let content_type = answer.header(header::CONTENT_TYPE).unwrap();
            let boundary = content_type
                .strip_prefix("multipart/byteranges; boundary=")
                .unwrap();
            let mut expected = Vec::new();
            for (index, (start, end)) in [(900, 1_000), (0, 10), (100, 110)].into_iter().enumerate()
            {
                let line = if index == 0 { "" } else { "\r\n" };
                expected.extend_from_slice(
                    format!(
                        "{line}--{boundary}\r\nContent-Type: text/html; charset=utf-8\r\n\
                         Content-Range: bytes {start}-{}/{length}\r\n\r\n",
                        end - 1
                    )
                    .as_bytes(),
                );
                expected.extend_from_slice(&content[start..end]);
            }
            expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
            assert!(answer.body().await == expected, "{name}");
        }
    });
}

#[test]
fn ranges_of_an_encoded_representation_are_of_its_own_bytes() {
    on_both_engines(async |site| {
        site.write("a.txt", "plain text");
        site.write("a.txt.gz", "0123456789");
        let ask = || Ask::get("a.txt").field(header::ACCEPT_ENCODING, "gzip");
        let answer = site.ask(ask().field(header::RANGE, "bytes=2-4")).await;
        assert_eq!(answer.status(), 206);
        assert_eq!(answer.header(header::CONTENT_ENCODING), Some("gzip"));
        let etag = answer.etag();
        assert_eq!(answer.body().await, "234");
        // The tag of one coding does not resume the other.
        let plain = Ask::get("a.txt")
            .field(header::RANGE, "bytes=2-4")
            .field(header::IF_RANGE, &etag);
        assert_eq!(site.ask(plain).await.body().await, "plain text");
        let several = site.ask(ask().field(header::RANGE, "bytes=0-1,5-6")).await;
        assert_eq!(
            (several.status(), several.body().await),
            (200, "0123456789".into())
        );
    });
}

#[test]
fn conditions_are_judged_by_the_rfc() {
    on_both_engines(async |site| {
        for (name, length) in [("small.bin", 100), ("long.bin", LONG)] {
            site.write(name, bytes(length, 3));
            set_modified(&site.path(name), at_second(784_111_777));
        }
        settle();
        for name in ["small.bin", "long.bin"] {
            let etag = site.get(name).await.etag();
            let date = "Sun, 06 Nov 1994 08:49:37 GMT";
            for (field, value, status) in [
                (header::IF_NONE_MATCH, &etag[..], 304),
                (header::IF_NONE_MATCH, "\"x\"", 200),
                (header::IF_NONE_MATCH, "*", 304),
                (header::IF_MODIFIED_SINCE, date, 304),
                (
                    header::IF_MODIFIED_SINCE,
                    "Sun, 06 Nov 1994 08:49:36 GMT",
                    200,
                ),
                (header::IF_MATCH, &etag, 200),
                (header::IF_MATCH, "\"x\"", 412),
                (header::IF_UNMODIFIED_SINCE, date, 200),
                (
                    header::IF_UNMODIFIED_SINCE,
                    "Sun, 06 Nov 1994 08:49:36 GMT",
                    412,
                ),
            ] {
                for ask in [Ask::get(name), Ask::head(name)] {
                    let answer = site.ask(ask.field(field.clone(), value)).await;
                    assert_eq!(answer.status(), status, "{name} {field}: {value}");
                    if status == 304 {
                        assert_eq!(answer.etag(), etag);
                        assert!(answer.header(header::CACHE_CONTROL).is_some());
                        assert_eq!(answer.header(header::CONTENT_TYPE), None);
                        assert_eq!(answer.response.body().length(), Some(0));
                    }
                }
            }
            let two_lines = Ask::get(name)
                .field(header::IF_NONE_MATCH, "\"x\"")
                .field(header::IF_NONE_MATCH, &etag);
            assert_eq!(site.ask(two_lines).await.status(), 304);
            let resume = |value: &str| {
                let ask = Ask::get(name).field(header::RANGE, "bytes=50-");
                ask.field(header::IF_RANGE, value)
            };
            assert_eq!(site.ask(resume(&etag)).await.status(), 206);
            assert_eq!(site.ask(resume(date)).await.status(), 206);
            assert_eq!(site.ask(resume("\"x\"")).await.status(), 200);
        }
    });
}

#[test]
fn a_tag_changes_with_every_change_of_a_long_file() {
    on_both_engines(async |site| {
        let mut tags = Vec::new();
        for round in 0..6 {
            site.write("long.bin", bytes(LONG, round % 2));
            settle();
            tags.push(
                site.ask(Ask::get("long.bin").at(round * 1_000))
                    .await
                    .etag(),
            );
        }
        tags.sort();
        tags.dedup();
        assert_eq!(tags.len(), 6);
    });
}

#[test]
fn a_long_file_that_has_just_changed_has_a_weak_tag() {
    on_both_engines(async |site| {
        // The machine may be slow between the write and the look: try again.
        let mut was_weak = false;
        for round in 0..20 {
            site.write("long.bin", bytes(LONG, round));
            let answer = site.ask(Ask::get("long.bin").at(round * 1_000)).await;
            was_weak |= answer.etag().starts_with("W/");
        }
        assert!(was_weak);
        settle();
        let answer = site.ask(Ask::get("long.bin").at(100_000)).await;
        assert!(answer.etag().starts_with('"'), "{}", answer.etag());
    });
}

#[test]
fn a_file_replaced_under_way_goes_on_as_it_began() {
    on_both_engines(async |site| {
        let (old, new) = (bytes(LONG, 1), bytes(LONG, 2));
        site.write("long.bin", &old);
        settle();
        let answer = site.get("long.bin").await;
        let etag = answer.etag();
        let mut stream = answer.into_stream();
        let first = stream.next().await.unwrap().unwrap();
        site.write("new.bin", &new);
        fs::rename(site.path("new.bin"), site.path("long.bin")).unwrap();
        let rest = collect(stream).await.unwrap().concat();
        assert!([&first[..], &rest].concat() == old);
        // The next request, though trusted time has not passed, has the new
        // file under a new tag: never the new bytes under the old one.
        let answer = site.get("long.bin").await;
        assert_ne!(answer.etag(), etag);
        assert!(answer.body().await == new);
    });
}

#[test]
fn a_file_truncated_or_overwritten_under_way_ends_in_an_error() {
    on_both_engines(async |site| {
        let content = bytes(LONG, 1);
        for damage in [
            |file: &mut fs::File| file.set_len(LONG as u64 / 2).unwrap(),
            |file: &mut fs::File| {
                file.seek(std::io::SeekFrom::Start(LONG as u64 / 2))
                    .unwrap();
                file.write_all(b"other bytes").unwrap();
            },
            |file: &mut fs::File| {
                file.set_len(0).unwrap();
                file.write_all(&bytes(LONG * 2, 5)).unwrap();
            },
        ] {
            for range in [None, Some("bytes=10-"), Some("bytes=0-99999,200000-")] {
                site.write("long.bin", &content);
                settle();
                site.files.entries.forget("long.bin");
                let mut ask = Ask::get("long.bin");
                ask.fields
                    .extend(range.map(|value| (header::RANGE, value.to_owned())));
                let answer = site.ask(ask).await;
                let announced = answer.response.body().length().unwrap();
                let mut stream = answer.into_stream();
                let mut received = stream.next().await.unwrap().unwrap().len() as u64;
                let mut file = fs::File::options()
                    .write(true)
                    .open(site.path("long.bin"))
                    .unwrap();
                damage(&mut file);
                let mut failed = false;
                while let Some(chunk) = stream.next().await {
                    match chunk {
                        Ok(chunk) => received += chunk.len() as u64,
                        Err(_) => failed = true,
                    }
                }
                assert!(failed, "{range:?}");
                assert!(
                    received < announced,
                    "the client can tell: {received} of {announced}"
                );
                drop(stream);
                assert_eq!(site.files.open_files.taken(), 0);
            }
        }
    });
}

#[test]
fn a_file_that_grows_under_way_is_sent_as_far_as_it_was() {
    on_both_engines(async |site| {
        let content = bytes(LONG, 1);
        for range in [None, Some("bytes=10-"), Some("bytes=0-99999,200000-")] {
            site.write("long.log", &content);
            settle();
            site.files.entries.forget("long.log");
            let mut ask = Ask::get("long.log");
            ask.fields
                .extend(range.map(|value| (header::RANGE, value.to_owned())));
            let answer = site.ask(ask).await;
            let announced = answer.response.body().length().unwrap();
            let mut stream = answer.into_stream();
            let mut received = stream.next().await.unwrap().unwrap().to_vec();
            let path = site.path("long.log");
            let mut file = fs::File::options().append(true).open(path).unwrap();
            while let Some(chunk) = stream.next().await {
                file.write_all(b"one more line").unwrap();
                received.extend_from_slice(&chunk.unwrap());
            }
            assert_eq!(received.len() as u64, announced, "{range:?}");
            match range {
                None => assert!(received == content),
                Some("bytes=10-") => assert!(received == content[10..]),
                _ => {}
            }
        }
    });
}

#[test]
fn a_file_that_grows_all_the_while_is_answered() {
    on_both_engines(async |site| {
        let content = bytes(LONG, 1);
        site.write("long.log", &content);
        let path = site.path("long.log");
        let is_over = std::sync::atomic::AtomicBool::new(false);
        let is_over = std::sync::Arc::new(is_over);
        let seen = is_over.clone();
        let writer = std::thread::spawn(move || {
            let mut file = fs::File::options().append(true).open(path).unwrap();
            while !seen.load(std::sync::atomic::Ordering::Relaxed) {
                file.write_all(b"one more line\n").unwrap();
                std::thread::sleep(Duration::from_micros(100));
            }
        });
        for now_ms in 0..50 {
            let answer = site.ask(Ask::get("long.log").at(now_ms * 10)).await;
            assert_eq!(answer.status(), 200);
            let body = answer.body().await;
            assert!(body.len() >= LONG && body[..LONG] == content);
        }
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        writer.join().unwrap();
    });
}

#[test]
fn places_for_open_files_are_bounded_and_given_back() {
    let pool = BlockingPool::start(2).unwrap();
    let options = EngineOptions {
        kind: EngineKind::IoUring,
        ring_entries: 256,
    };
    Runtime::build(&options, pool).unwrap().block_on(async {
        let site = Site::with(|options| options.open_files_max = 2);
        site.write("long.bin", bytes(LONG, 1));
        let one = site.get("long.bin").await;
        let two = site.get("long.bin").await;
        let refused = site.get("long.bin").await;
        assert_eq!(
            (refused.status(), refused.header(header::RETRY_AFTER)),
            (503, Some("1"))
        );
        drop(one);
        let mut three = site.get("long.bin").await.into_stream();
        three.next().await.unwrap().unwrap();
        assert_eq!(site.get("long.bin").await.status(), 503);
        // Left half-way, as when the client goes away.
        drop(three);
        assert_eq!(site.get("long.bin").await.status(), 200);
        drop(two);
        assert_eq!(site.files.open_files.taken(), 0);
    });
}
