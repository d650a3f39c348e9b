//! Which store is meant, and the times and sizes of its connections.

use super::*;

fn shown(config: &Config) -> String {
    config.store.url.to_string()
}

const GIVEN: &str = "postgres://joe:hunter2@db/x";
const SHOWN: &str = "postgres://joe:***@db:5432/x";

#[test]
fn database_url_names_the_store_where_nothing_else_does() {
    let loaded = Case::new("").variable("DATABASE_URL", GIVEN).load();
    assert_eq!(shown(&loaded.config), SHOWN);
    assert_eq!(loaded.origin("store.url").to_string(), "DATABASE_URL");
}

#[test]
fn every_way_of_our_own_comes_before_database_url() {
    let file = Case::new("[store]\nurl = \"sqlite:f.db\"").variable("DATABASE_URL", GIVEN);
    assert_eq!(shown(&file.config()), "sqlite:f.db");
    let both = Case::new("").variable("DATABASE_URL", GIVEN);
    let variable = both.variable("CORELANE_STORE", "sqlite:v.db");
    assert_eq!(shown(&variable.config()), "sqlite:v.db");
    let flag = Case::new("").variable("DATABASE_URL", GIVEN);
    assert_eq!(
        shown(&flag.flag("store", "sqlite:g.db").config()),
        "sqlite:g.db"
    );
    let empty = Case::new("").variable("DATABASE_URL", "");
    assert_eq!(shown(&empty.config()), "sqlite:./data/corelane.db");
}

#[test]
fn a_mistaken_database_url_is_told_without_its_password() {
    let errors = Case::new("")
        .variable("DATABASE_URL", "mysql://joe:hunter2@db/x")
        .errors();
    assert!(
        errors.contains("DATABASE_URL") && errors.contains("postgres://"),
        "{errors}"
    );
    assert!(!errors.contains("hunter2"), "{errors}");
}

#[test]
fn no_way_to_show_a_configuration_shows_the_password() {
    let loaded = Case::new("").flag("store", GIVEN).load();
    let annotated = annotate(&loaded.config, Some(&loaded.origins));
    let debug = format!("{:?}", loaded.config);
    assert!(annotated.contains("***"), "{annotated}");
    assert!(!annotated.contains("hunter2") && !debug.contains("hunter2"));
}

#[test]
fn a_write_of_unknown_outcome_is_doubted_longer_than_it_may_take() {
    let toml = format!("[store]\nurl = \"{GIVEN}\"\n[database]\ndeadline_ms = 20_000");
    assert_eq!(Case::new(&toml).config().server.cache_doubt_ms, 25_000);
}

#[test]
fn times_and_sizes_that_cannot_be_meant_are_refused() {
    for (lines, word) in [
        ("statement_timeout_ms = 5_000", "more than 5000"),
        ("deadline_ms = 4_000", "more than 4000"),
        ("checkout_timeout_ms = 6_000", "at least 6000"),
        ("pool_max = 8\npool_min = 9", "at least 9"),
    ] {
        let errors = Case::new(&format!("[database]\n{lines}")).errors();
        assert!(errors.contains(word), "{lines}: {errors}");
        let last = format!("server.toml:{}", 1 + lines.lines().count());
        assert!(errors.contains(&last), "{errors}");
    }
}
