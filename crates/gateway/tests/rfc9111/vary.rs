//! Section 4.1: variants by `Vary`.

use crate::table::{answer, asks, either, hit, ok, run, same, valid};

#[tokio::test(flavor = "multi_thread")]
async fn section_4_1_variants() {
    let by = |names: &str| ok(&format!("Cache-Control: max-age=60\nVary: {names}"));
    let foo = || by("Foo");
    run(vec![
        ("s4_1_the_same_value_is_a_hit", vec![asks(foo()).with("Foo: 1"), hit(0).with("Foo: 1")]),
        ("s4_1_another_value_is_not", vec![asks(foo()).with("Foo: 1"), asks(foo()).with("Foo: 2")]),
        ("s4_1_absent_is_not_present", vec![asks(foo()), asks(foo()).with("Foo: 1")]),
        ("s4_1_present_is_not_absent", vec![asks(foo()).with("Foo: 1"), asks(foo())]),
        ("s4_1_absent_is_absent", vec![asks(foo()), hit(0)]),
        ("s4_1_empty_is_not_present", vec![asks(foo()).with("Foo: 1"), asks(foo()).with("Foo:")]),
        ("s4_1_empty_may_be_absent", vec![asks(foo()), either(0, foo()).with("Foo:")]),
        ("s4_1_names_have_no_case", vec![asks(by("fOO")).with("Foo: 1"), hit(0).with("FOO: 1"), asks(by("fOO")).with("foo: 2")]),
        ("s4_1_values_have_case", vec![asks(foo()).with("Foo: a"), asks(foo()).with("Foo: A")]),
        (
            "s4_1_a_second_variant_does_not_evict_the_first",
            vec![asks(foo()).with("Foo: 1"), asks(foo()).with("Foo: 2"), hit(0).with("Foo: 1"), hit(1).with("Foo: 2")],
        ),
        (
            "s4_1_five_variants_are_kept",
            vec![
                asks(foo()).with("Foo: 1"),
                asks(foo()).with("Foo: 2"),
                asks(foo()).with("Foo: 3"),
                asks(foo()).with("Foo: 4"),
                asks(foo()),
                hit(0).with("Foo: 1"),
                hit(1).with("Foo: 2"),
                hit(2).with("Foo: 3"),
                hit(3).with("Foo: 4"),
                hit(4),
            ],
        ),
        (
            "s4_1_all_of_several_fields_count",
            vec![
                asks(by("Foo, Bar")).with("Foo: 1\nBar: 2"),
                hit(0).with("Bar: 2\nFoo: 1"),
                asks(by("Foo, Bar")).with("Foo: 1\nBar: 3"),
                asks(by("Foo, Bar")).with("Foo: 3\nBar: 2"),
                asks(by("Foo, Bar")).with("Foo: 1"),
                hit(0).with("Foo: 1\nBar: 2"),
            ],
        ),
        (
            "s4_1_several_vary_fields_count",
            vec![
                asks(ok("Cache-Control: max-age=60\nVary: Foo\nVary: Bar")).with("Foo: 1\nBar: 2"),
                hit(0).with("Foo: 1\nBar: 2"),
                asks(foo()).with("Foo: 1\nBar: 3"),
            ],
        ),
        (
            "s4_1_three_fields_in_any_order",
            vec![
                asks(by("A1,  B1 ,C1")).with("C1: 3\nB1: 2\nA1: 1"),
                hit(0).with("A1: 1\nB1: 2\nC1: 3"),
                asks(foo()).with("A1: 1\nB1: 2"),
            ],
        ),
        (
            "s4_1_empty_elements_are_nothing",
            vec![asks(by(", Foo,,")).with("Foo: 1"), hit(0).with("Foo: 1"), asks(foo()).with("Foo: 2")],
        ),
        (
            "s4_1_blanks_in_quotes_count",
            vec![asks(foo()).with("Foo: \"a, b\""), asks(foo()).with("Foo: \"a,b\""), hit(0).with("Foo: \"a, b\"")],
        ),
        ("s4_1_other_fields_do_not_count", vec![asks(foo()).with("Foo: 1\nBar: 1"), hit(0).with("Foo: 1\nBar: 2")]),
        ("s4_1_an_empty_vary_is_none", vec![asks(by("")), hit(0).with("Foo: 1")]),
        ("s4_1_a_star_never_matches", vec![asks(by("*")), asks(by("*"))]),
        ("s4_1_a_star_among_others_never_matches", vec![asks(by("Foo, *")).with("Foo: 1"), asks(by("Foo, *")).with("Foo: 1")]),
        (
            "s4_1_a_star_in_a_second_field_never_matches",
            vec![
                asks(ok("Cache-Control: max-age=60\nVary: Foo\nVary: *")).with("Foo: 1"),
                asks(ok("Cache-Control: max-age=60\nVary: Foo\nVary: *")).with("Foo: 1"),
            ],
        ),
        ("s4_1_a_star_in_a_name_is_a_name", vec![asks(by("Foo*")).with("Foo*: 1"), either(0, by("Foo*")).with("Foo*: 1")]),
        (
            "s4_1_blanks_around_a_value_do_not_count",
            vec![asks(foo()).with("Foo: 1"), hit(0).with("Foo:   1  "), hit(0).with("Foo:\t1")],
        ),
        ("s4_1_blanks_in_a_list_may_be_dropped", vec![asks(foo()).with("Foo: 1,2"), either(0, foo()).with("Foo: 1, 2")]),
        ("s4_1_lines_of_a_list_may_be_joined", vec![asks(foo()).with("Foo: 1\nFoo: 2"), either(0, foo()).with("Foo: 1, 2")]),
        ("s4_1_the_order_of_an_unknown_list_counts", vec![asks(foo()).with("Foo: 1, 2"), asks(foo()).with("Foo: 2, 1")]),
        ("s4_1_the_order_of_lines_counts", vec![asks(foo()).with("Foo: 1\nFoo: 2"), asks(foo()).with("Foo: 2\nFoo: 1")]),
        ("s4_1_a_value_more_counts", vec![asks(foo()).with("Foo: 1"), asks(foo()).with("Foo: 1\nFoo: 2")]),
        (
            "s4_1_encodings_are_kept_apart",
            vec![
                asks(by("Accept-Encoding")).with("Accept-Encoding: gzip"),
                asks(by("Accept-Encoding")).with("Accept-Encoding: br"),
                asks(by("Accept-Encoding")),
                hit(0).with("Accept-Encoding: gzip"),
                hit(1).with("Accept-Encoding: br"),
                hit(2),
            ],
        ),
        (
            "s4_1_blanks_between_encodings_may_be_dropped",
            vec![
                asks(by("Accept-Encoding")).with("Accept-Encoding: gzip, br"),
                either(0, by("Accept-Encoding")).with("Accept-Encoding: gzip,br"),
            ],
        ),
        (
            "s4_1_languages_are_kept_apart",
            vec![
                asks(by("Accept-Language")).with("Accept-Language: de"),
                asks(by("Accept-Language")).with("Accept-Language: en"),
                hit(0).with("Accept-Language: de"),
                hit(1).with("Accept-Language: en"),
            ],
        ),
        (
            "s4_1_languages_may_have_no_case",
            vec![
                asks(by("Accept-Language")).with("Accept-Language: de"),
                either(0, by("Accept-Language")).with("Accept-Language: DE"),
            ],
        ),
        (
            "s4_1_cookies_are_kept_apart",
            vec![
                asks(by("Cookie")).with("Cookie: a=1"),
                asks(by("Cookie")).with("Cookie: a=2"),
                asks(by("Cookie")),
                hit(0).with("Cookie: a=1"),
                hit(2),
            ],
        ),
        (
            "s4_1_authorization_is_kept_apart",
            vec![
                asks(ok("Cache-Control: public, max-age=60\nVary: Authorization")).with("Authorization: Basic YTpi"),
                asks(ok("Cache-Control: public, max-age=60\nVary: Authorization")).with("Authorization: Basic Yzpk"),
                asks(ok("Cache-Control: max-age=60\nVary: Authorization")),
            ],
        ),
        (
            "s4_1_user_agents_are_kept_apart",
            vec![
                asks(by("User-Agent")).with("User-Agent: a/1"),
                asks(by("User-Agent")).with("User-Agent: b/1"),
                hit(0).with("User-Agent: a/1"),
            ],
        ),
        ("s4_1_vary_by_host_is_the_key", vec![asks(by("Host")), hit(0)]),
        (
            "s4_1_head_takes_the_variant",
            vec![asks(foo()).with("Foo: 1"), hit(0).method("HEAD").with("Foo: 1"), asks(foo()).method("HEAD").with("Foo: 2")],
        ),
        (
            "s4_1_a_stale_variant_is_validated_by_its_own_etag",
            vec![
                asks(ok("Cache-Control: max-age=60\nAge: 100\nVary: Foo\nETag: \"one\"")).with("Foo: 1"),
                asks(ok("Cache-Control: max-age=60\nVary: Foo\nETag: \"two\"")).with("Foo: 2"),
                valid(0, same("Cache-Control: max-age=60\nVary: Foo\nETag: \"one\"").knows("\"one\"")).with("Foo: 1"),
                hit(0).with("Foo: 1"),
                hit(1).with("Foo: 2"),
            ],
        ),
        (
            "s4_1_validating_one_variant_leaves_the_other_stale",
            vec![
                asks(ok("Cache-Control: max-age=60\nAge: 100\nVary: Foo\nETag: \"one\"")).with("Foo: 1"),
                asks(ok("Cache-Control: max-age=60\nAge: 100\nVary: Foo\nETag: \"two\"")).with("Foo: 2"),
                valid(0, same("Cache-Control: max-age=60\nVary: Foo\nETag: \"one\"")).with("Foo: 1"),
                valid(1, same("Cache-Control: max-age=60\nVary: Foo\nETag: \"two\"")).with("Foo: 2"),
            ],
        ),
        (
            "s4_1_an_unsafe_method_takes_all_variants",
            vec![
                asks(foo()).with("Foo: 1"),
                asks(foo()).with("Foo: 2"),
                asks(ok("")).method("POST").content("a"),
                asks(foo()).with("Foo: 1"),
                asks(foo()).with("Foo: 2"),
            ],
        ),
        (
            "s4_1_a_variant_of_an_error_is_a_variant",
            vec![
                asks(answer(404, "Cache-Control: max-age=60\nVary: Foo")).with("Foo: 1"),
                asks(foo()).with("Foo: 2"),
                hit(0).with("Foo: 1"),
                hit(1).with("Foo: 2"),
            ],
        ),
        (
            "s4_1_no_cache_replaces_only_its_variant",
            vec![
                asks(foo()).with("Foo: 1"),
                asks(foo()).with("Foo: 2"),
                asks(foo()).with("Foo: 1\nCache-Control: no-cache"),
                hit(2).with("Foo: 1"),
                hit(1).with("Foo: 2"),
            ],
        ),
        (
            "s4_1_a_later_vary_counts",
            vec![
                asks(ok("Cache-Control: max-age=60")).with("Foo: 1"),
                asks(foo()).with("Foo: 1\nCache-Control: no-cache"),
                hit(1).with("Foo: 1"),
            ],
        ),
        (
            "s4_1_fields_with_other_values_that_look_alike",
            vec![
                asks(by("Foo, Bar")).with("Foo: 1\nBar: 2, 3"),
                asks(by("Foo, Bar")).with("Foo: 1, 2\nBar: 3"),
                asks(by("Foo, Bar")).with("Bar: 1\nFoo: 2, 3"),
            ],
        ),
        ("s4_1_vary_is_given_back", vec![asks(foo()).with("Foo: 1"), hit(0).with("Foo: 1").is("Vary: Foo")]),
    ])
    .await;
}
