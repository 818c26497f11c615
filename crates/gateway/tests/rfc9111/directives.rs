//! Sections 5.2.1 and 5.4: what a client asks of the cache; and of 5.2.2, what is not with storing and freshness.

use crate::table::{asks, either, hit, made, ok, run, same, valid};

#[tokio::test(flavor = "multi_thread")]
async fn section_5_2_1_directives_of_requests() {
    let fresh = || ok("Cache-Control: max-age=100");
    // 50 seconds old, 50 more to go.
    let middle = || ok("Cache-Control: max-age=100\nAge: 50\nETag: \"a\"");
    // Stale by 50 seconds.
    let stale = |directives: &str| ok(&format!("Cache-Control: max-age=100{directives}\nAge: 150\nETag: \"a\""));
    run(vec![
        ("s5_2_1_1_max_age_of_nothing", vec![asks(middle()), asks(fresh()).with("Cache-Control: max-age=0"), hit(1)]),
        // No more than no seconds old: what came within this second may do, though whoever reloads a page means otherwise.
        (
            "s5_2_1_1_max_age_of_nothing_for_what_has_just_come",
            vec![asks(fresh()), either(0, fresh()).with("Cache-Control: max-age=0")],
        ),
        ("s5_2_1_1_max_age_below_the_age", vec![asks(middle()), asks(fresh()).with("Cache-Control: max-age=10")]),
        ("s5_2_1_1_max_age_above_the_age", vec![asks(middle()), hit(0).with("Cache-Control: max-age=90")]),
        ("s5_2_1_1_max_age_in_any_case", vec![asks(middle()), asks(fresh()).with("cache-control: MAX-AGE=10")]),
        ("s5_2_1_1_max_age_quoted", vec![asks(middle()), asks(fresh()).with("Cache-Control: max-age=\"10\"")]),
        (
            "s5_2_1_1_max_age_in_a_second_field",
            vec![asks(middle()), asks(fresh()).with("Cache-Control: foo\nCache-Control: max-age=10")],
        ),
        (
            "s5_2_1_1_max_age_of_letters_may_be_ignored",
            vec![asks(middle()), either(0, fresh()).with("Cache-Control: max-age=abc")],
        ),
        ("s5_2_1_1_max_age_does_not_make_stale_fresh", vec![asks(stale("")), asks(fresh()).with("Cache-Control: max-age=1000")]),
        (
            "s5_2_1_1_max_age_of_much_overflows_nothing",
            vec![asks(middle()), hit(0).with("Cache-Control: max-age=99999999999999999999")],
        ),
        (
            "s5_2_1_1_max_age_of_nothing_validates",
            vec![
                asks(middle()),
                valid(0, same("Cache-Control: max-age=100\nETag: \"a\""))
                    .with("Cache-Control: max-age=0")
                    .sees("If-None-Match: \"a\""),
                hit(0).age(0, 9),
            ],
        ),
        (
            "s5_2_1_1_max_age_in_quotes_of_another",
            vec![asks(middle()), hit(0).with("Cache-Control: ext=\"max-age=0, no-cache\"")],
        ),
        ("s5_2_1_2_max_stale_without_a_value", vec![asks(stale("")), hit(0).with("Cache-Control: max-stale").age(150, 159)]),
        ("s5_2_1_2_max_stale_of_enough", vec![asks(stale("")), hit(0).with("Cache-Control: max-stale=90")]),
        ("s5_2_1_2_max_stale_of_too_little", vec![asks(stale("")), asks(fresh()).with("Cache-Control: max-stale=10")]),
        ("s5_2_1_2_max_stale_of_nothing", vec![asks(stale("")), asks(fresh()).with("Cache-Control: max-stale=0")]),
        ("s5_2_1_2_max_stale_of_letters", vec![asks(stale("")), asks(fresh()).with("Cache-Control: max-stale=abc")]),
        ("s5_2_1_2_max_stale_of_much", vec![asks(stale("")), hit(0).with("Cache-Control: max-stale=99999999999999999999")]),
        (
            "s5_2_1_2_max_stale_with_max_age",
            vec![asks(middle()), either(0, fresh()).with("Cache-Control: max-age=10, max-stale=90")],
        ),
        (
            "s5_2_1_2_max_stale_with_enough_max_age",
            vec![asks(stale("")), hit(0).with("Cache-Control: max-age=200, max-stale=90")],
        ),
        (
            "s5_2_1_2_max_stale_does_not_win_over_must_revalidate",
            vec![asks(stale(", must-revalidate")), asks(fresh()).with("Cache-Control: max-stale")],
        ),
        (
            "s5_2_1_2_max_stale_does_not_win_over_proxy_revalidate",
            vec![asks(stale(", proxy-revalidate")), asks(fresh()).with("Cache-Control: max-stale")],
        ),
        (
            "s5_2_1_2_max_stale_does_not_win_over_s_maxage",
            vec![asks(ok("Cache-Control: s-maxage=100\nAge: 150\nETag: \"a\"")), asks(fresh()).with("Cache-Control: max-stale")],
        ),
        (
            "s5_2_1_2_max_stale_does_not_win_over_no_cache",
            vec![asks(ok("Cache-Control: no-cache, max-age=100\nETag: \"a\"")), asks(fresh()).with("Cache-Control: max-stale")],
        ),
        ("s5_2_1_3_min_fresh_of_too_much", vec![asks(middle()), asks(fresh()).with("Cache-Control: min-fresh=90")]),
        ("s5_2_1_3_min_fresh_of_little", vec![asks(middle()), hit(0).with("Cache-Control: min-fresh=10")]),
        ("s5_2_1_3_min_fresh_of_much", vec![asks(middle()), asks(fresh()).with("Cache-Control: min-fresh=99999999999999999999")]),
        (
            "s5_2_1_3_min_fresh_of_letters_may_be_ignored",
            vec![asks(middle()), either(0, fresh()).with("Cache-Control: min-fresh=abc")],
        ),
        ("s5_2_1_4_no_cache", vec![asks(fresh()), asks(fresh()).with("Cache-Control: no-cache"), hit(1)]),
        ("s5_2_1_4_no_cache_in_any_case", vec![asks(fresh()), asks(fresh()).with("CACHE-CONTROL: No-Cache")]),
        ("s5_2_1_4_no_cache_among_others", vec![asks(fresh()), asks(fresh()).with("Cache-Control: foo,no-cache,bar")]),
        (
            "s5_2_1_4_no_cache_in_a_second_field",
            vec![asks(fresh()), asks(fresh()).with("Cache-Control: foo\nCache-Control: no-cache")],
        ),
        (
            "s5_2_1_4_no_cache_validates",
            vec![
                asks(middle()),
                valid(0, same("Cache-Control: max-age=100\nETag: \"a\""))
                    .with("Cache-Control: no-cache")
                    .sees("If-None-Match: \"a\""),
                hit(0).age(0, 9),
            ],
        ),
        (
            "s5_2_1_4_no_cache_is_sent_on",
            vec![asks(fresh()).with("Cache-Control: no-cache").sees("Cache-Control: no-cache"), hit(0)],
        ),
        ("s5_2_1_4_no_cache_with_max_stale", vec![asks(fresh()), asks(fresh()).with("Cache-Control: max-stale, no-cache")]),
        (
            "s5_2_1_4_a_name_that_only_looks_like_no_cache",
            vec![asks(fresh()), hit(0).with("Cache-Control: no-caches, xno-cache")],
        ),
        (
            "s5_2_1_6_no_transform_is_sent_on",
            vec![asks(fresh()).with("Cache-Control: no-transform").sees("Cache-Control: no-transform"), hit(0)],
        ),
        ("s5_2_1_6_no_transform_is_a_hit", vec![asks(fresh()), hit(0).with("Cache-Control: no-transform")]),
        ("s5_2_1_7_only_if_cached_on_a_miss", vec![made(504).with("Cache-Control: only-if-cached"), asks(fresh())]),
        ("s5_2_1_7_only_if_cached_on_a_hit", vec![asks(fresh()), hit(0).with("Cache-Control: only-if-cached")]),
        ("s5_2_1_7_only_if_cached_in_any_case", vec![made(504).with("Cache-Control: ONLY-IF-CACHED")]),
        ("s5_2_1_7_only_if_cached_of_what_is_stale", vec![asks(stale("")), made(504).with("Cache-Control: only-if-cached")]),
        (
            "s5_2_1_7_only_if_cached_with_max_stale",
            vec![asks(stale("")), hit(0).with("Cache-Control: only-if-cached, max-stale")],
        ),
        (
            "s5_2_1_7_only_if_cached_of_another_variant",
            vec![
                asks(ok("Cache-Control: max-age=100\nVary: Foo")).with("Foo: 1"),
                made(504).with("Foo: 2\nCache-Control: only-if-cached"),
                hit(0).with("Foo: 1\nCache-Control: only-if-cached"),
            ],
        ),
        (
            "s5_2_1_7_only_if_cached_of_what_is_too_old",
            vec![asks(middle()), made(504).with("Cache-Control: only-if-cached, max-age=10")],
        ),
        ("s5_2_1_7_only_if_cached_of_a_head", vec![asks(fresh()), hit(0).method("HEAD").with("Cache-Control: only-if-cached")]),
        (
            "s5_2_1_7_only_if_cached_with_a_condition",
            vec![asks(middle()), hit(0).status(304).with("Cache-Control: only-if-cached\nIf-None-Match: \"a\"")],
        ),
        (
            "s5_2_1_unknown_directives",
            vec![asks(fresh()), hit(0).with("Cache-Control: foo, bar=\"baz\", s-maxage=0, private, public")],
        ),
        ("s5_2_1_an_empty_field", vec![asks(fresh()), hit(0).with("Cache-Control:")]),
        ("s5_4_pragma_may_be_no_cache", vec![asks(fresh()), either(0, fresh()).with("Pragma: no-cache")]),
        ("s5_4_pragma_of_another_word", vec![asks(fresh()), hit(0).with("Pragma: foo")]),
        ("s5_4_pragma_beside_cache_control", vec![asks(fresh()), hit(0).with("Pragma: no-cache\nCache-Control: max-stale=10")]),
        ("s5_4_pragma_is_sent_on", vec![asks(fresh()).with("Pragma: no-cache").sees("Pragma: no-cache"), hit(0)]),
        (
            "s5_5_a_warning_is_passed_on",
            vec![asks(ok("Cache-Control: max-age=100\nWarning: 299 - \"x\"")).is("Warning: 299 - \"x\""), hit(0)],
        ),
        (
            "s5_2_2_2_must_revalidate_is_validated_when_stale",
            vec![
                asks(stale(", must-revalidate")),
                valid(0, same("Cache-Control: max-age=100, must-revalidate\nETag: \"a\"")),
                hit(0),
            ],
        ),
        (
            "s5_2_2_8_proxy_revalidate_is_validated_when_stale",
            vec![
                asks(stale(", proxy-revalidate")),
                valid(0, same("Cache-Control: max-age=100, proxy-revalidate\nETag: \"a\"")),
                hit(0),
            ],
        ),
        (
            "s5_2_2_6_no_transform_is_given_as_it_came",
            vec![
                asks(ok("Cache-Control: max-age=100, no-transform\nContent-Encoding: x").body("as it is")),
                hit(0).is("Content-Encoding: x"),
            ],
        ),
    ])
    .await;
}
