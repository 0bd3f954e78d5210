//! A corpus of texts with secrets, as they are and written otherwise; ordinary texts.

use proptest::prelude::*;

use super::*;

const CORPUS: &str = include_str!("corpus.txt");
const SECRET: &str = "S3cr3tV4lue";
const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJTM2NyM3RWNGx1ZSJ9.c2lnbmF0dXJl";

fn corpus() -> impl Iterator<Item = (Grammar, &'static str)> {
    CORPUS
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (grammar, text) = line.split_once(' ').expect("a grammar and a text");
            let grammar = match grammar {
                "url" => Grammar::Url,
                "query" => Grammar::Query,
                "text" => Grammar::Text,
                other => panic!("{other}"),
            };
            (grammar, text)
        })
}

fn filled(text: &str) -> String {
    text.replace("@S@", SECRET).replace("@J@", TOKEN)
}

fn leaks(text: &str) -> bool {
    text.contains(SECRET) || text.contains("eyJ") || text.contains("c2lnbmF0dXJl")
}

#[test]
fn no_secret_of_the_corpus_survives() {
    let redaction = Redaction::default();
    for (grammar, text) in corpus() {
        let told = redaction.of(grammar, &filled(text)).into_owned();
        assert!(!leaks(&told), "{text}\n{told}");
        assert!(told.contains(REDACTED), "{text}\n{told}");
    }
}

#[test]
fn what_stands_beside_a_secret_stays() {
    let redaction = Redaction::default();
    for (grammar, text, expected) in [
        (Grammar::Query, "a=1&token=x&b=2", "a=1&token=REDACTED&b=2"),
        (Grammar::Query, "s%69g=x&c=%20", "s%69g=REDACTED&c=%20"),
        (Grammar::Query, "sig=", "sig=REDACTED"),
        (
            Grammar::Query,
            "a[token]=x&b[c]=d",
            "a[token]=REDACTED&b[c]=d",
        ),
        (
            Grammar::Query,
            "u=http%3A%2F%2Fh%3Fsig%3Dx%26a%3D1&b=2",
            "u=http%3A%2F%2Fh%3Fsig%3DREDACTED%26a%3D1&b=2",
        ),
        (
            Grammar::Url,
            "/a;token=x/b;c=1?d=2",
            "/a;token=REDACTED/b;c=1?d=2",
        ),
        (
            Grammar::Url,
            "http://bob:pw@h:1/a",
            "http://REDACTED:REDACTED@h:1/a",
        ),
        (Grammar::Url, "http://bob@h/a", "http://REDACTED@h/a"),
        (
            Grammar::Text,
            "a/1 (token: x; b)",
            "a/1 (token:REDACTED; b)",
        ),
        (
            Grammar::Text,
            "Authorization: Bearer abc, b",
            "Authorization:REDACTED, b",
        ),
    ] {
        assert_eq!(redaction.of(grammar, text), expected, "{text}");
    }
    let token = format!("/verify/{TOKEN}/now?a=1");
    assert_eq!(
        redaction.of(Grammar::Url, &token),
        "/verify/REDACTED/now?a=1"
    );
}

#[test]
fn ordinary_texts_stay_as_they_are_and_where_they_are() {
    let redaction = Redaction::default();
    for (grammar, text) in [
        (Grammar::Url, "/api/items/42"),
        (Grammar::Url, "/static/keyJar.min.js"),
        (Grammar::Url, "/static/keyJournalingFileSystemView.min.js"),
        (Grammar::Url, "/search?q=a%20b&page=3&sort=price"),
        (Grammar::Url, "/@scope/package"),
        (Grammar::Url, "//cdn.example/x@2.1/y.js"),
        (Grammar::Url, "http://shop.example:8080/a;v=1/b?c[]=d"),
        (Grammar::Url, "/mail?to=bob@example.com"),
        (Grammar::Url, "/token/session/key"),
        (Grammar::Url, "/?token"),
        (Grammar::Query, "signatures=1&mysig=2&si=4&page_token=5"),
        (
            Grammar::Query,
            "encoded=%3D%26&country=de&keyword=x&passage=y",
        ),
        (Grammar::Query, "time=10:30&q=a:b"),
        (Grammar::Query, ""),
        (
            Grammar::Text,
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        ),
        (Grammar::Text, "Code/1.80.1 (bot; +http://h/about)"),
        (Grammar::Text, "Visual Basic Client"),
        (Grammar::Text, "agent (bob@example.com)"),
    ] {
        assert!(
            matches!(redaction.of(grammar, text), Cow::Borrowed(told) if told == text),
            "{text}"
        );
    }
}

#[test]
fn names_are_the_users_to_add_and_to_remove() {
    let redaction = Redaction::new(&["shop_ticket"], &["code", "KEY"]);
    assert_eq!(
        redaction.of(Grammar::Query, "shop-ticket=a&code=b&key=c&sig=d"),
        "shop-ticket=REDACTED&code=b&key=c&sig=REDACTED"
    );
    // A token is one under any name.
    assert!(!leaks(
        &redaction.of(Grammar::Query, &format!("code={TOKEN}"))
    ));
}

#[test]
fn an_attribute_with_the_name_of_a_secret_has_no_value() {
    let redaction = Redaction::default();
    assert_eq!(redaction.attribute("app.api_key", "x"), REDACTED);
    assert_eq!(
        redaction.attribute("db.url", "postgres://bob:pw@h/db"),
        "postgres://REDACTED:REDACTED@h/db"
    );
    assert_eq!(redaction.attribute("team", "shop"), "shop");
}

#[test]
fn long_hostile_texts_take_no_longer_than_others() {
    let redaction = Redaction::default();
    for part in [
        "eyJ7Inii",
        "//",
        "/%2F%2F",
        "%25",
        "a=",
        "eyJhbGciOiJI.",
        "http://",
        "Bearer ",
    ] {
        let text = part.repeat(64 * 1024 / part.len());
        for grammar in [Grammar::Url, Grammar::Query, Grammar::Text] {
            let _ = redaction.of(grammar, &text);
        }
    }
}

/// The same text as another client might write it: letters of either case, some percent-encoded.
/// Marks of secrets stay.
fn written_otherwise(text: &str, choices: &[u8]) -> String {
    let mut choices = choices.iter().copied().cycle();
    text.split_inclusive('@')
        .enumerate()
        .map(|(index, part)| {
            // Every second part is the inside of a mark, or beside an at sign: left alone.
            if index % 2 == 1 || part.contains('%') || part.contains(' ') {
                return part.to_owned();
            }
            part.chars()
                .map(|letter| match choices.next().unwrap_or_default() % 6 {
                    0 if letter.is_ascii_alphabetic() => format!("%{:02X}", letter as u32),
                    1 if letter.is_ascii_alphabetic() => format!("%{:02x}", letter as u32),
                    2 => letter.to_ascii_uppercase().to_string(),
                    3 => letter.to_ascii_lowercase().to_string(),
                    4 if letter.is_ascii_alphabetic() => format!("%25{:02X}", letter as u32),
                    _ => letter.to_string(),
                })
                .collect()
        })
        .collect()
}

proptest! {
    #[test]
    fn no_way_of_writing_a_text_gets_a_secret_through(
        choices in prop::collection::vec(any::<u8>(), 1..80),
    ) {
        let redaction = Redaction::default();
        for (grammar, text) in corpus().filter(|(grammar, _)| *grammar != Grammar::Text) {
            let text = filled(&written_otherwise(text, &choices));
            let told = redaction.of(grammar, &text).into_owned();
            prop_assert!(!leaks(&told), "{}\n{}", text, told);
        }
    }

    #[test]
    fn any_text_is_borne_and_hiding_twice_changes_nothing(
        text in any::<String>(),
        tail in "[a-z=&%@/:;\\[\\]\\.\"0-9]{0,60}",
    ) {
        let redaction = Redaction::default();
        let text = format!("{text}{tail}");
        for grammar in [Grammar::Url, Grammar::Query, Grammar::Text] {
            let once = redaction.of(grammar, &text).into_owned();
            let mut last = 0;
            redaction.find(grammar, text.as_bytes(), |secret| {
                assert!(last <= secret.range.start && secret.range.end <= text.len());
                last = secret.range.end;
            });
            let twice = redaction.of(grammar, &once).into_owned();
            prop_assert_eq!(once, twice);
        }
    }

    #[test]
    fn what_is_passed_over_at_first_sight_has_no_secret(
        text in "(token|key|page|sig|a|J|eyJ|=|&|/|;|,|#|\\?|:|\\.|\\[|_|-| |é){0,12}",
    ) {
        let redaction = Redaction::default();
        for grammar in [Grammar::Url, Grammar::Query, Grammar::Text] {
            let bytes = text.as_bytes();
            let mut found = 0;
            scan::scan(&redaction.names, grammar, bytes, |_| found += 1);
            let passed_over = !scan::may_have_secret(&redaction.names, grammar, bytes);
            prop_assert!(!passed_over || found == 0, "{text}");
        }
    }
}
