//! Core map files: what they mean, and the line a mistake is found on.

use super::*;

fn parsed(text: &str) -> CoreMapOptions {
    parse(text, "core-map.toml").unwrap().options
}

fn refusal(text: &str) -> String {
    parse(text, "core-map.toml").unwrap_err().to_string()
}

#[test]
fn cores_are_all_a_count_a_list_or_tables() {
    assert_eq!(parsed("").cores, CoreSelection::All);
    assert_eq!(parsed("cores = 'all'").cores, CoreSelection::All);
    assert_eq!(parsed("cores = 4").cores, CoreSelection::Count(4));
    assert_eq!(parsed("cores = \"4\"").cores, CoreSelection::List(vec![4]));
    assert_eq!(
        parsed("cores = '2-4,10'").cores,
        CoreSelection::List(vec![2, 3, 4, 10])
    );
    let text = "spin_us = 5\n[[shards]]\ncore = 3\n[[shards]]\ncore = 1\nengine = 'epoll'\n\
                ring_entries = 256\nspin_us = 9\n";
    let plain = ShardPlacement {
        core: 3,
        engine: None,
        ring_entries: None,
        spin_us: None,
    };
    let tuned = ShardPlacement {
        core: 1,
        engine: Some(EngineKind::Epoll),
        ring_entries: Some(256),
        spin_us: Some(9),
    };
    let map = parsed(text);
    assert_eq!(map.cores, CoreSelection::Shards(vec![plain, tuned]));
    assert_eq!(map.spin_us, 5);
}

#[test]
fn every_other_key_is_taken() {
    let map = parsed("housekeeping = '0-1'\nengine = 'io_uring'\nring_entries = 256\nspin_us = 7");
    let expected = CoreMapOptions {
        housekeeping: Some(vec![0, 1]),
        engine: Some(EngineKind::IoUring),
        ring_entries: 256,
        spin_us: 7,
        ..CoreMapOptions::default()
    };
    assert_eq!(map, expected);
    assert_eq!(
        parsed("housekeeping = 'auto'\nengine = 'auto'"),
        CoreMapOptions::default()
    );
}

#[test]
fn a_mistake_is_named_with_its_line_and_the_cure() {
    for (text, expected) in [
        (
            "\ncorse = 4",
            "2: unknown key `corse`; did you mean `cores`?",
        ),
        (
            "threads = 4",
            "1: unknown key `threads`; did you mean `shards`?",
        ),
        (
            "turbo_boost = 4",
            "1: unknown key `turbo_boost`; valid are cores, oversubscribe, housekeeping, engine, ring_entries, \
             spin_us, shards",
        ),
        (
            "[[shards]]\ncore = 1\nspin = 4",
            "3: unknown key `spin`; did you mean `spin_us`?",
        ),
        (
            "[core_map]\ncores = 4",
            "1: a core map file has no section [core_map]; write its keys without the heading",
        ),
        (
            "# one\n\nengine = 'iouring'",
            "3: unknown engine \"iouring\"; valid are \"auto\", \"io_uring\" and \"epoll\"; did \
             you mean \"io_uring\"?",
        ),
        (
            "cores = '2-x'",
            "1: cores: \"2-x\" is not a core or a range of cores; write \"3\", \"2-8\" or \
             \"0-14:2\"; valid are \"all\", a count such as 4, or a list such as \"2-8,10\"",
        ),
        (
            "cores = -1",
            "1: cores = -1 is out of range; write a whole number that is not negative",
        ),
        (
            "housekeeping = 1",
            "1: housekeeping = 1 is a number, not a list of cores; write \"1\" for core 1; valid \
             are \"auto\" or a list such as \"0-1\"",
        ),
        (
            "ring_entries = '1024'",
            "1: ring_entries = \"1024\" is a text; write a whole number, without quotes",
        ),
        (
            "spin_us = 4294967296",
            "1: spin_us = 4294967296 is out of range; write a whole number that is not negative",
        ),
    ] {
        assert_eq!(
            refusal(text),
            format!("core-map.toml:{expected}"),
            "{text:?}"
        );
    }
}

#[test]
fn a_mistake_in_the_shard_tables_is_named_with_its_line() {
    for (text, expected) in [
        (
            "cores = 1\n[[shards]]\ncore = 1",
            "2: [[shards]] and `cores` (line 1) both choose the cores; keep one of them",
        ),
        (
            "[[shards]]\ncore = 1\n[[shards]]\nspin_us = 1",
            "3: this shard has no `core`; add, for instance, core = 2",
        ),
        (
            "engine = 'epoll'\n[[shards]]\ncore = 1\nengine = 'auto'",
            "4: a shard cannot go back to \"auto\" under engine = \"epoll\"; name its engine, or \
             leave it out",
        ),
    ] {
        assert_eq!(
            refusal(text),
            format!("core-map.toml:{expected}"),
            "{text:?}"
        );
    }
}

#[test]
fn what_is_not_toml_is_named_with_its_line() {
    for text in [
        "cores = 4\ncores = 5",
        "cores = 4\nspin_us =",
        "cores = 4\nengine = [1]",
    ] {
        let message = refusal(text);
        assert!(
            message.starts_with("core-map.toml:2: "),
            "{text:?}: {message}"
        );
        assert_eq!(message.lines().count(), 1, "{message}");
    }
    let long = "#".repeat(CORE_MAP_BYTES_MAX + 1);
    assert!(refusal(&long).starts_with("core-map.toml: the core map has"));
}

#[test]
fn a_map_that_does_not_fit_is_named_with_the_line_of_its_key() {
    let machine = Machine::uniform(1, 1, 1, 2, 1);
    for (text, expected) in [
        (
            "\n\ncores = '0,9'",
            "3: core 9 does not exist on this machine; valid are 1",
        ),
        (
            "housekeeping = '7'",
            "1: core 7 does not exist on this machine; valid are 0-1",
        ),
        (
            "[[shards]]\ncore = 0\n[[shards]]\nring_entries = 256\ncore = 0",
            "5: core 0 is given twice; valid are 1",
        ),
        (
            "[[shards]]\nring_entries = 7\ncore = 0",
            "2: 7 ring entries are not possible; valid are the powers of two from 256 to 32768, \
             the nearest is 256",
        ),
    ] {
        let error = parse(text, "core-map.toml")
            .unwrap()
            .place(&machine)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("core-map.toml:{expected}"),
            "{text:?}"
        );
    }
}

#[test]
fn a_map_changed_by_a_flag_is_named_without_a_line() {
    let machine = Machine::uniform(1, 1, 1, 2, 1);
    let mut map = ParsedCoreMap::default();
    map.options.cores = CoreSelection::Count(3);
    let error = map.place(&machine).unwrap_err();
    assert_eq!(error.line, None);
    assert!(error.cure.starts_with("valid are 1-2; "), "{error}");
    assert!(
        error
            .to_string()
            .starts_with("core map: cores: 3 shards do not fit"),
        "{error}"
    );
}

#[test]
fn the_same_keys_work_inside_a_larger_file_with_its_lines() {
    #[derive(Deserialize)]
    struct Server {
        core_map: CoreMapTable,
    }
    let text = "[server]\nlisten = \"x\"\n\n[core_map]\nspin_us = 1\n\n[[core_map.shards]]\n\
                core = 0\n\n[[core_map.shards]]\ncore = 5\n";
    let server: Server = toml::from_str(text).unwrap();
    let map = server.core_map.resolve(text, "server.toml").unwrap();
    assert_eq!(map.options.spin_us, 1);
    let error = map.place(&Machine::uniform(1, 1, 1, 2, 1)).unwrap_err();
    let expected = "server.toml:11: core 5 does not exist on this machine; valid are 1";
    assert_eq!(error.to_string(), expected);
    assert_eq!(map.line_of("shards[0].engine"), Some(7));

    // The way in for a reader that walks the document key by key.
    let document = toml::de::DeTable::parse(text).unwrap().into_inner();
    let section = document.get("core_map").unwrap().clone();
    let table = CoreMapTable::deserialize(toml::de::ValueDeserializer::from(section)).unwrap();
    assert_eq!(table.resolve(text, "server.toml").unwrap(), map);
}

const ANNOTATED: &str = include_str!("../../../../../tuning/core-map.toml");

#[test]
fn the_annotated_file_is_the_defaults_and_names_every_key() {
    assert_eq!(parsed(ANNOTATED), CoreMapOptions::default());
    for key in CORE_MAP_KEYS.into_iter().filter(|key| *key != "shards") {
        let given = ANNOTATED
            .lines()
            .filter(|line| line.starts_with(&format!("{key} = ")));
        assert_eq!(given.count(), 1, "{key}");
    }
    // One table per shard has no default: its keys stand in a comment, which
    // must be right too.
    let example: String = ANNOTATED
        .lines()
        .skip_while(|line| *line != "# [[shards]]")
        .map(|line| line.trim_start_matches("# ").to_owned() + "\n")
        .collect();
    let CoreSelection::Shards(shards) = parsed(&example).cores else {
        panic!("{example}")
    };
    assert_eq!(shards.len(), 2);
    for key in SHARD_KEYS {
        assert!(example.contains(&format!("{key} = ")), "{key}");
    }
}

#[test]
fn the_example_for_two_sockets_leaves_a_core_of_each_socket() {
    let text = include_str!("../../../../../tuning/core-maps/two-sockets-128-cores.toml");
    let map = parse(text, "two-sockets-128-cores.toml").unwrap();
    let placement = map.place(&Machine::uniform(2, 1, 8, 8, 2)).unwrap();
    assert_eq!(placement.shards.len(), 126);
    assert_eq!(placement.housekeeping, [0, 64]);
    assert_eq!(placement.notes, [""; 0]);
    let on_second = placement
        .shards
        .iter()
        .filter(|slot| slot.numa_node == Some(1))
        .count();
    assert_eq!(on_second, 63);
    // 8 MiB of locked memory are 292 rings of this size.
    assert!(placement.shards.iter().all(|slot| slot.ring_entries == 256));
    let error = map.place(&Machine::uniform(1, 1, 1, 8, 1)).unwrap_err();
    assert!(error.what.starts_with("core 64 does not exist"), "{error}");
}

#[test]
fn the_example_for_eight_cores_leaves_one_for_housekeeping() {
    let text = include_str!("../../../../../tuning/core-maps/eight-cores.toml");
    let map = parse(text, "eight-cores.toml").unwrap();
    for threads in [1, 2] {
        let placement = map.place(&Machine::uniform(1, 1, 1, 8, threads)).unwrap();
        let cpus: Vec<_> = placement.shards.iter().map(|slot| slot.cpu).collect();
        assert_eq!(cpus, [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(placement.housekeeping, [0]);
        assert_eq!(placement.notes, [""; 0]);
    }
}
