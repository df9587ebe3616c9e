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
