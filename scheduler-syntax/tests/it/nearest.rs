//! "Did you mean".

use scheduler_syntax::nearest;

#[test]
fn finds_the_nearest_and_nothing_far() {
    let options = ["cron", "every", "timeout", "time_zone"];
    for (word, expected) in [
        ("tiemout", Some("timeout")),
        ("timezone", Some("time_zone")),
        ("CRON", Some("cron")),
        ("corn", Some("cron")),
        ("cro", Some("cron")),
        ("evry", Some("every")),
        ("priority", None),
        ("", None),
    ] {
        assert_eq!(nearest(word, options), expected, "{word}");
    }
    assert_eq!(nearest("word", []), None);
}

#[test]
fn the_opposite_is_no_hint() {
    let options = ["disallow_concurrent", "durable", "until"];
    for word in ["allow_concurrent", "alow_concurent", "undurable", "non_durable"] {
        assert_eq!(nearest(word, options), None, "{word}");
    }
    for (word, meant) in [
        ("dissallow_concurrent", "disallow_concurrent"),
        ("disalow_concurent", "disallow_concurrent"),
        ("unti", "until"),
    ] {
        assert_eq!(nearest(word, options), Some(meant));
    }
}
