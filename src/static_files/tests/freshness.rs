//! How soon a change on disk is seen, and what that costs.

use super::*;

#[test]
fn hits_share_their_bytes_and_do_not_touch_the_disk() {
    on_both_engines(async |site| {
        site.write("a.txt", "same");
        settle();
        let first = site.get("a.txt").await.body_bytes();
        // Never pending: answered without a thread or a system call.
        for now_ms in [1, 500, 999] {
            let again = site
                .ask(Ask::get("a.txt").at(now_ms))
                .now_or_never()
                .expect("at once");
            assert_eq!(again.body_bytes().as_ptr(), first.as_ptr());
        }
        assert_eq!(site.files.entries.lookups(), 1);
    });
}

#[test]
fn every_kind_of_change_is_seen_within_the_trusted_time() {
    on_both_engines(async |site| {
        let ask = |now_ms| site.ask(Ask::get("a.txt").at(now_ms));
        assert_eq!(ask(0).await.status(), 404);
        site.write("a.txt", "one");
        assert_eq!(ask(1_000).await.body().await, "one");
        // Same length, right after, same time of modification to the second.
        site.write("a.txt", "two");
        assert_eq!(ask(2_000).await.body().await, "two");
        site.write("b.txt", "renamed");
        fs::rename(site.path("b.txt"), site.path("a.txt")).unwrap();
        assert_eq!(ask(3_000).await.body().await, "renamed");
        settle();
        assert_eq!(ask(4_000).await.body().await, "renamed");
        // Hidden from a look at length and modification time.
        let modified = fs::metadata(site.path("a.txt"))
            .unwrap()
            .modified()
            .unwrap();
        site.write("a.txt", "RENAMED");
        set_modified(&site.path("a.txt"), modified);
        assert_eq!(ask(5_000).await.body().await, "RENAMED");
        fs::remove_file(site.path("a.txt")).unwrap();
        assert_eq!(ask(6_000).await.status(), 404);
        fs::create_dir(site.path("a.txt")).unwrap();
        site.write("a.txt/index.html", "directory");
        assert_eq!(ask(7_000).await.status(), 308);
    });
}

#[test]
fn an_unchanged_file_is_looked_at_but_not_read_again() {
    on_both_engines(async |site| {
        site.write("a.txt", "same");
        settle();
        let first = site.get("a.txt").await.body_bytes();
        let again = site.ask(Ask::get("a.txt").at(1_000)).await.body_bytes();
        assert_eq!(first.as_ptr(), again.as_ptr());
        assert_eq!(site.files.entries.lookups(), 2);
        // And is then trusted for as long again.
        assert!(
            site.ask(Ask::get("a.txt").at(1_999))
                .now_or_never()
                .is_some()
        );
        assert_eq!(site.files.entries.lookups(), 2);
    });
}

#[test]
fn a_file_that_has_just_changed_is_soon_looked_at_again() {
    on_both_engines(async |site| {
        site.write("long.bin", bytes(LONG, 1));
        let first = site.get("long.bin").await.etag();
        settle();
        let second = site.ask(Ask::get("long.bin").at(20)).await.etag();
        assert!(second.starts_with('"'), "{first}, then {second}");
        assert!(first == second || first == format!("W/{second}"));
    });
}

#[test]
fn a_sibling_that_appears_or_goes_is_seen() {
    on_both_engines(async |site| {
        let ask = |now_ms| {
            site.ask(
                Ask::get("a.txt")
                    .field(header::ACCEPT_ENCODING, "br")
                    .at(now_ms),
            )
        };
        site.write("a.txt", "plain");
        settle();
        assert_eq!(ask(0).await.header(header::VARY), None);
        site.write("a.txt.br", "brotli");
        let answer = ask(1_000).await;
        assert_eq!(answer.header(header::VARY), Some("accept-encoding"));
        assert_eq!(answer.body().await, "brotli");
        fs::remove_file(site.path("a.txt.br")).unwrap();
        assert_eq!(ask(2_000).await.body().await, "plain");
    });
}

#[test]
fn what_one_shard_has_seen_no_other_takes_back() {
    on_both_engines(async |site| {
        let options = StaticOptions {
            root: site.path(""),
            ..Default::default()
        };
        let other = Site {
            files: StaticFiles::new(options).unwrap(),
            directory: tempfile::tempdir().unwrap(),
        };
        site.write("a.txt", "old");
        for shard in [&site, &other] {
            assert_eq!(shard.get("a.txt").await.body().await, "old");
            assert_eq!(shard.get("new.txt").await.status(), 404);
        }
        settle();
        site.write("a.txt", "new");
        site.write("new.txt", "new");
        // Found by one when it looks again, and by one that has never looked.
        for name in ["a.txt", "new.txt"] {
            let seen = other.ask(Ask::get(name).at(2_000)).await;
            assert_eq!(seen.body().await, "new");
            let trusted = site.ask(Ask::get(name).at(1)).await;
            assert_eq!(trusted.status(), 200, "{name}");
            assert_eq!(trusted.body().await, "new");
        }
        fs::remove_file(site.path("a.txt")).unwrap();
        assert_eq!(site.ask(Ask::get("a.txt").at(3_000)).await.status(), 404);
        assert_eq!(other.ask(Ask::get("a.txt").at(2_001)).await.status(), 404);
        // Nothing was found since, so nobody looks.
        let lookups = site.files.entries.lookups();
        assert_eq!(site.ask(Ask::get("a.txt").at(3_001)).await.status(), 404);
        assert_eq!(site.files.entries.lookups(), lookups);
    });
}

#[test]
fn the_root_may_be_switched_and_rebuilt() {
    on_both_engines(async |_| {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("current");
        for (release, content) in [("one", "first"), ("two", "second")] {
            fs::create_dir(directory.path().join(release)).unwrap();
            fs::write(directory.path().join(release).join("a.txt"), content).unwrap();
        }
        symlink("one", &root).unwrap();
        let options = StaticOptions {
            root: root.clone(),
            ..Default::default()
        };
        let site = Site {
            files: StaticFiles::new(options).unwrap(),
            directory,
        };
        assert_eq!(site.get("a.txt").await.body().await, "first");
        symlink("two", site.directory.path().join("next")).unwrap();
        fs::rename(site.directory.path().join("next"), &root).unwrap();
        assert_eq!(
            site.ask(Ask::get("a.txt").at(1_000)).await.body().await,
            "second"
        );
        fs::remove_file(&root).unwrap();
        assert_eq!(site.ask(Ask::get("a.txt").at(2_000)).await.status(), 404);
    });
}

#[test]
fn requests_that_come_together_look_once() {
    on_both_engines(async |site| {
        site.write("a.txt", "one");
        let asks = (0..50).map(|_| site.get("a.txt"));
        for answer in join_all(asks).await {
            assert_eq!(answer.body().await, "one");
        }
        assert_eq!(site.files.entries.lookups(), 1);
        site.write("a.txt", "two");
        let asks = (0..50).map(|_| site.ask(Ask::get("a.txt").at(1_000)));
        for answer in join_all(asks).await {
            assert_eq!(answer.body().await, "two");
        }
        assert_eq!(site.files.entries.lookups(), 2);
    });
}

#[test]
fn when_the_one_who_looks_goes_away_another_does() {
    on_both_engines(async |site| {
        site.write("a.txt", "one");
        let mut leader = Box::pin(site.get("a.txt"));
        assert!(leader.as_mut().now_or_never().is_none());
        let mut follower = Box::pin(site.get("a.txt"));
        assert!(follower.as_mut().now_or_never().is_none());
        assert_eq!(site.files.entries.lookups(), 1);
        drop(leader);
        assert_eq!(follower.await.body().await, "one");
        assert_eq!(site.files.entries.lookups(), 2);
    });
}

#[test]
fn who_waits_is_never_given_an_answer_older_than_the_trusted_time() {
    on_both_engines(async |site| {
        site.write("a.txt", "one");
        let mut leader = Box::pin(site.get("a.txt"));
        assert!(leader.as_mut().now_or_never().is_none());
        // A request that comes a second later, while the first still looks.
        let late = site.ask(Ask::get("a.txt").at(1_000));
        let (_, late) = futures_util::future::join(leader, late).await;
        assert_eq!(late.status(), 200);
        assert_eq!(site.files.entries.lookups(), 2);
    });
}

#[test]
fn memory_is_bounded_whatever_is_asked_for() {
    let pool = BlockingPool::start(2).unwrap();
    let options = EngineOptions {
        kind: EngineKind::Epoll,
        ring_entries: 256,
    };
    Runtime::build(&options, pool).unwrap().block_on(async {
        let site = Site::with(|options| options.cache_bytes = 64 * 1024);
        for index in 0..200 {
            site.write(&format!("{index}.txt"), bytes(1_000, index));
        }
        for index in 0..200 {
            let body = site.get(&format!("{index}.txt")).await.body().await;
            assert_eq!(body, bytes(1_000, index));
            assert_eq!(site.get(&format!("missing-{index}")).await.status(), 404);
            assert!(site.files.entries.weight_bytes() <= 64 * 1024);
        }
        assert!(
            site.files.entries.weight_bytes() > 16 * 1024,
            "it does keep something"
        );
    });
}

impl Answer {
    /// The body of a file kept in memory, itself.
    fn body_bytes(self) -> Bytes {
        match self.response.into_parts().1.into_kind() {
            BodyKind::Bytes(bytes) => bytes,
            BodyKind::Prepared(response) => response.body_bytes(),
            _ => panic!("not kept in memory"),
        }
    }
}
