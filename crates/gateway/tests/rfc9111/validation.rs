//! Section 4.3: validation, by the cache and by its clients.

use crate::table::{answer, asks, asks_again, either, hit, ok, run, same, valid};

#[tokio::test(flavor = "multi_thread")]
async fn section_4_3_asking_the_origin() {
    let stale = |more: &str| ok(&format!("Cache-Control: max-age=60\nAge: 100\n{more}"));
    let fresh = || ok("Cache-Control: max-age=60");
    let again = |more: &str| same(&format!("Cache-Control: max-age=60\n{more}"));
    run(vec![
        (
            "s4_3_1_an_etag_is_sent",
            vec![asks(stale("ETag: \"a\"")), valid(0, again("ETag: \"a\"")).sees("If-None-Match: \"a\""), hit(0)],
        ),
        (
            "s4_3_1_a_weak_etag_is_sent",
            vec![asks(stale("ETag: W/\"a\"")), valid(0, again("ETag: W/\"a\"")).sees("If-None-Match: W/\"a\""), hit(0)],
        ),
        (
            "s4_3_1_last_modified_is_sent",
            vec![
                asks(stale("Last-Modified: Tue, 15 Nov 1994 12:45:26 GMT")),
                valid(0, again("")).sees("If-Modified-Since: Tue, 15 Nov 1994 12:45:26 GMT").unseen("If-None-Match"),
                hit(0),
            ],
        ),
        (
            "s4_3_1_an_etag_is_sent_beside_last_modified",
            vec![
                asks(stale("ETag: \"a\"\nLast-Modified: Tue, 15 Nov 1994 12:45:26 GMT")),
                valid(0, again("")).sees("If-None-Match: \"a\""),
                hit(0),
            ],
        ),
        ("s4_3_1_without_a_validator_it_is_asked_anew", vec![asks(stale("")), asks(fresh()).unseen("If-None-Match"), hit(1)]),
        (
            "s4_3_1_the_clients_fields_are_sent_too",
            vec![
                asks(stale("ETag: \"a\"")),
                valid(0, again("")).with("User-Agent: me/1\nX-Mine: 2").sees("User-Agent: me/1").sees("X-Mine: 2"),
            ],
        ),
        ("s4_3_1_what_is_fresh_is_not_validated", vec![asks(ok("Cache-Control: max-age=60\nETag: \"a\"")), hit(0), hit(0)]),
        (
            "s5_2_2_4_no_cache_is_validated_each_time",
            vec![
                asks(ok("Cache-Control: no-cache\nETag: \"a\"")),
                valid(0, same("Cache-Control: no-cache\nETag: \"a\"")).sees("If-None-Match: \"a\""),
                valid(0, same("Cache-Control: no-cache\nETag: \"a\"")).sees("If-None-Match: \"a\""),
            ],
        ),
        (
            "s5_2_2_4_no_cache_with_last_modified_is_validated",
            vec![
                asks(ok("Cache-Control: no-cache\nLast-Modified: Tue, 15 Nov 1994 12:45:26 GMT")),
                valid(0, same("Cache-Control: no-cache")).sees("If-Modified-Since: Tue, 15 Nov 1994 12:45:26 GMT"),
            ],
        ),
        (
            "s4_3_3_a_new_answer_replaces_the_old_one",
            vec![
                asks(stale("ETag: \"a\"\nX-Old: 1")),
                asks(ok("Cache-Control: max-age=60\nETag: \"b\"")).lacks("X-Old"),
                hit(1).lacks("X-Old").is("ETag: \"b\""),
            ],
        ),
        (
            "s4_3_3_a_new_answer_not_to_be_stored_is_passed_on",
            vec![asks(stale("ETag: \"a\"")), asks(ok("Cache-Control: no-store")), asks(fresh()), hit(2)],
        ),
        ("s4_3_3_a_404_is_passed_on", vec![asks(stale("ETag: \"a\"")), asks(answer(404, "Cache-Control: max-age=60")), hit(1)]),
        ("s4_3_3_a_500_is_passed_on", vec![asks(stale("ETag: \"a\"")), asks(answer(500, "")), asks(fresh()), hit(2)]),
        (
            "s4_3_3_a_redirection_is_passed_on",
            vec![asks(stale("ETag: \"a\"")), asks(answer(302, "Location: {here}/b")), asks(fresh())],
        ),
        (
            "s3_2_a_304_updates_fields",
            vec![
                asks(stale("ETag: \"a\"\nX-Changed: old\nX-Kept: kept")),
                valid(0, again("ETag: \"a\"\nX-Changed: new\nX-Added: added"))
                    .is("X-Changed: new")
                    .is("X-Kept: kept")
                    .is("X-Added: added"),
                hit(0).is("X-Changed: new").is("X-Kept: kept").is("X-Added: added"),
            ],
        ),
        (
            "s3_2_a_304_replaces_all_fields_of_a_name",
            vec![
                asks(stale("ETag: \"a\"\nX-Many: 1\nX-Many: 2\nX-Many: 3")),
                valid(0, again("X-Many: 4\nX-Many: 5")).is("X-Many: 4, 5"),
                hit(0).is("X-Many: 4, 5"),
            ],
        ),
        (
            "s3_2_a_304_updates_the_control",
            vec![
                asks(stale("ETag: \"a\"")),
                valid(0, same("Cache-Control: max-age=600\nETag: \"a\"")).is("Cache-Control: max-age=600"),
                hit(0).is("Cache-Control: max-age=600"),
            ],
        ),
        (
            "s3_2_a_304_updates_expires",
            vec![asks(ok("Expires: {-60}\nETag: \"a\"")), valid(0, same("Expires: {+600}\nETag: \"a\"")), hit(0)],
        ),
        (
            "s3_2_a_304_without_control_keeps_the_old_one",
            vec![asks(stale("ETag: \"a\"")), valid(0, same("ETag: \"a\"")).is("Cache-Control: max-age=60"), hit(0).age(0, 9)],
        ),
        (
            "s3_2_a_304_makes_what_was_fresh_stale",
            vec![
                asks(ok("Cache-Control: max-age=600\nETag: \"a\"")),
                valid(0, same("Cache-Control: max-age=0\nETag: \"a\"")).with("Cache-Control: no-cache"),
                valid(0, again("ETag: \"a\"")),
                hit(0),
            ],
        ),
        (
            "s3_2_the_length_of_a_304_means_nothing",
            vec![
                asks(stale("ETag: \"a\"").body("0123456789")),
                valid(0, again("ETag: \"a\"\nContent-Length: 3")).is("Content-Length: 10"),
                hit(0).is("Content-Length: 10"),
            ],
        ),
        (
            "s3_2_the_length_of_nothing_of_a_304_means_nothing",
            vec![
                asks(stale("ETag: \"a\"").body("0123456789")),
                valid(0, again("Content-Length: 0")),
                hit(0).is("Content-Length: 10"),
            ],
        ),
        (
            "s3_2_fields_of_the_connection_of_a_304_are_not_stored",
            vec![
                asks(stale("ETag: \"a\"")),
                valid(0, again("Connection: X-Hop\nX-Hop: 1\nProxy-Authenticate: Basic"))
                    .lacks("X-Hop")
                    .lacks("Proxy-Authenticate"),
                hit(0).lacks("X-Hop").lacks("Proxy-Authenticate"),
            ],
        ),
        (
            "s3_2_a_304_with_a_new_date",
            vec![asks(ok("Cache-Control: max-age=60\nDate: {-100}\nETag: \"a\"")), valid(0, again("")), hit(0).age(0, 9)],
        ),
        (
            "s4_3_4_a_304_about_another_answer_is_not_used",
            vec![
                asks(stale("ETag: \"a\"")),
                // To whoever has "a" it says 304 and that this is "b"; asked without conditions it says what "b" is.
                asks_again(ok("Cache-Control: max-age=60\nETag: \"b\"").knows("\"a\"")).status(200).is("ETag: \"b\""),
                hit(1),
            ],
        ),
        (
            "s4_3_4_a_304_with_an_age",
            vec![asks(stale("ETag: \"a\"")), valid(0, again("Age: 30\nETag: \"a\"")), hit(0).age(30, 39)],
        ),
        (
            "s4_3_4_a_304_that_is_stale_already",
            vec![asks(stale("ETag: \"a\"")), valid(0, again("Age: 100\nETag: \"a\"")), valid(0, again("ETag: \"a\"")), hit(0)],
        ),
        (
            "s4_3_5_head_of_another_etag_makes_it_stale",
            vec![
                asks(ok("Cache-Control: max-age=600\nETag: \"a\"")),
                asks(ok("Cache-Control: max-age=600\nETag: \"b\"")).method("HEAD").with("Cache-Control: no-cache"),
                asks(fresh()),
            ],
        ),
        (
            "s4_3_5_head_of_another_length_makes_it_stale",
            vec![
                asks(ok("Cache-Control: max-age=600").body("0123456789")),
                asks(ok("Cache-Control: max-age=600").body("01234567890123456789"))
                    .method("HEAD")
                    .with("Cache-Control: no-cache"),
                asks(fresh()),
            ],
        ),
        (
            "s4_3_5_head_of_the_same_may_freshen",
            vec![
                asks(stale("ETag: \"a\"").body("0123456789")),
                asks(ok("Cache-Control: max-age=600\nETag: \"a\"").body("0123456789")).method("HEAD").status(200),
                either(0, fresh()),
            ],
        ),
        (
            "s4_3_5_head_of_a_stale_one_asks",
            vec![asks(stale("")), asks(fresh()).method("HEAD").sees("Host: {origin}"), either(0, fresh()).status(200)],
        ),
        (
            "s4_3_5_an_error_of_head_does_not_take_the_answer_to_get",
            vec![
                asks(ok("Cache-Control: max-age=600\nETag: \"a\"")),
                asks(answer(503, "")).method("HEAD").with("Cache-Control: no-cache"),
                hit(0),
            ],
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn section_4_3_2_asked_by_clients() {
    let tagged = || ok("Cache-Control: max-age=600\nETag: \"a\"");
    let weak = || ok("Cache-Control: max-age=600\nETag: W/\"a\"");
    let old = "Tue, 15 Nov 1994 12:45:26 GMT";
    let dated = || ok(&format!("Cache-Control: max-age=600\nLast-Modified: {old}"));
    let both = || ok(&format!("Cache-Control: max-age=600\nETag: \"a\"\nLast-Modified: {old}"));
    let stale = |more: &str| ok(&format!("Cache-Control: max-age=60\nAge: 100\n{more}"));
    let fresh = || ok("Cache-Control: max-age=60");
    let unchanged = || hit(0).status(304);
    run(vec![
        (
            "s4_3_2_an_etag_that_matches",
            vec![
                asks(tagged()),
                unchanged().with("If-None-Match: \"a\"").is("ETag: \"a\"").same("Date").is("Cache-Control: max-age=600"),
            ],
        ),
        ("s4_3_2_an_etag_that_does_not", vec![asks(tagged()), hit(0).with("If-None-Match: \"b\"")]),
        ("s4_3_2_one_of_several_etags", vec![asks(tagged()), unchanged().with("If-None-Match: \"b\", \"a\" , \"c\"")]),
        ("s4_3_2_one_of_several_lines", vec![asks(tagged()), unchanged().with("If-None-Match: \"b\"\nIf-None-Match: \"a\"")]),
        ("s4_3_2_none_of_several_etags", vec![asks(tagged()), hit(0).with("If-None-Match: \"b\", \"aa\", \"A\"")]),
        ("s4_3_2_etags_have_case", vec![asks(tagged()), hit(0).with("If-None-Match: \"A\"")]),
        (
            "s4_3_2_an_etag_with_a_comma",
            vec![asks(ok("Cache-Control: max-age=600\nETag: \"a,b\"")), unchanged().with("If-None-Match: \"x\", \"a,b\"")],
        ),
        ("s4_3_2_a_part_of_an_etag_with_a_comma", vec![asks(tagged()), hit(0).with("If-None-Match: \"a,b\", \"b,a\"")]),
        ("rfc9110_s13_1_2_a_weak_etag_matches_a_strong_one", vec![asks(tagged()), unchanged().with("If-None-Match: W/\"a\"")]),
        (
            "rfc9110_s13_1_2_a_strong_etag_matches_a_weak_one",
            vec![asks(weak()), unchanged().with("If-None-Match: \"a\"").is("ETag: W/\"a\"")],
        ),
        ("rfc9110_s13_1_2_a_weak_etag_matches_a_weak_one", vec![asks(weak()), unchanged().with("If-None-Match: W/\"a\"")]),
        ("rfc9110_s13_1_2_a_star_matches_all", vec![asks(tagged()), unchanged().with("If-None-Match: *")]),
        ("rfc9110_s13_1_2_a_star_matches_without_an_etag", vec![asks(fresh()), unchanged().with("If-None-Match: *")]),
        ("s4_3_2_an_etag_against_none", vec![asks(fresh()), hit(0).with("If-None-Match: \"a\"")]),
        ("s4_3_2_head_with_an_etag_that_matches", vec![asks(tagged()), unchanged().method("HEAD").with("If-None-Match: \"a\"")]),
        ("s4_3_2_head_with_an_etag_that_does_not", vec![asks(tagged()), hit(0).method("HEAD").with("If-None-Match: \"b\"")]),
        (
            "s4_3_2_the_same_date",
            vec![asks(dated()), unchanged().with("If-Modified-Since: Tue, 15 Nov 1994 12:45:26 GMT").same("Last-Modified")],
        ),
        ("s4_3_2_a_later_date", vec![asks(dated()), unchanged().with("If-Modified-Since: Wed, 16 Nov 1994 12:45:26 GMT")]),
        ("s4_3_2_an_earlier_date", vec![asks(dated()), hit(0).with("If-Modified-Since: Mon, 14 Nov 1994 12:45:26 GMT")]),
        (
            "s4_3_2_a_date_in_the_form_of_rfc_850",
            vec![asks(dated()), unchanged().with("If-Modified-Since: Tuesday, 15-Nov-94 12:45:26 GMT")],
        ),
        (
            "s4_3_2_a_date_in_the_form_of_asctime",
            vec![asks(dated()), unchanged().with("If-Modified-Since: Tue Nov 15 12:45:26 1994")],
        ),
        ("s4_3_2_a_date_that_is_none", vec![asks(dated()), hit(0).with("If-Modified-Since: yesterday")]),
        (
            "s4_3_2_head_with_the_same_date",
            vec![asks(dated()), unchanged().method("HEAD").with("If-Modified-Since: Tue, 15 Nov 1994 12:45:26 GMT")],
        ),
        (
            "s4_3_2_without_last_modified_date_counts",
            vec![
                asks(ok("Cache-Control: max-age=600\nDate: {-100}")),
                hit(0).with("If-Modified-Since: {-200}"),
                unchanged().with("If-Modified-Since: {-50}"),
            ],
        ),
        (
            "s4_3_2_a_date_long_before_what_has_none",
            vec![asks(fresh()), hit(0).with("If-Modified-Since: Tue, 15 Nov 1994 12:45:26 GMT")],
        ),
        (
            "rfc9110_s13_2_2_an_etag_wins_over_a_date",
            vec![asks(both()), hit(0).with("If-None-Match: \"b\"\nIf-Modified-Since: Tue, 15 Nov 1994 12:45:26 GMT")],
        ),
        (
            "rfc9110_s13_2_2_an_etag_wins_over_an_earlier_date",
            vec![asks(both()), unchanged().with("If-None-Match: \"a\"\nIf-Modified-Since: Mon, 14 Nov 1994 12:45:26 GMT")],
        ),
        (
            "rfc9110_s15_4_5_a_304_has_what_a_200_would_have",
            vec![
                asks(ok("Cache-Control: max-age=600\nETag: \"a\"\nExpires: {+600}\nVary: Foo\nContent-Location: {here}/x")),
                unchanged()
                    .with("If-None-Match: \"a\"")
                    .is("ETag: \"a\"")
                    .has("Expires")
                    .is("Vary: Foo")
                    .is("Content-Location: {here}/x"),
            ],
        ),
        (
            "s4_3_2_conditions_of_an_error_are_not_judged",
            vec![asks(answer(404, "Cache-Control: max-age=600\nETag: \"a\"")), either(0, fresh()).with("If-None-Match: \"a\"")],
        ),
        ("s4_3_2_if_match_is_for_the_origin", vec![asks(tagged()), either(0, tagged()).with("If-Match: \"a\"")]),
        (
            "s4_3_2_if_unmodified_since_is_for_the_origin",
            vec![asks(dated()), either(0, dated()).with("If-Unmodified-Since: Tue, 15 Nov 1994 12:45:26 GMT")],
        ),
        (
            "s4_3_2_a_condition_on_a_miss_is_passed_on",
            vec![
                asks(same("ETag: \"a\"")).with("If-None-Match: \"a\"").sees("If-None-Match: \"a\""),
                asks(fresh()).unseen("If-None-Match"),
                hit(1),
            ],
        ),
        (
            "s4_3_2_a_date_on_a_miss_is_passed_on",
            vec![
                asks(same(""))
                    .with("If-Modified-Since: Tue, 15 Nov 1994 12:45:26 GMT")
                    .sees("If-Modified-Since: Tue, 15 Nov 1994 12:45:26 GMT"),
                asks(fresh()).unseen("If-Modified-Since"),
            ],
        ),
        (
            "s4_3_2_a_304_with_freshness_on_a_miss_is_no_answer_to_others",
            vec![asks(same("Cache-Control: max-age=600\nETag: \"a\"")).with("If-None-Match: \"a\""), asks(fresh()), hit(1)],
        ),
        (
            "s4_3_2_a_whole_answer_to_a_condition_may_be_stored",
            vec![asks(tagged()).with("If-None-Match: \"z\""), either(0, tagged())],
        ),
        (
            "s4_3_2_a_clients_etag_of_what_is_stale",
            vec![
                asks(stale("ETag: \"a\"")),
                asks(same("Cache-Control: max-age=60\nETag: \"a\"")).with("If-None-Match: \"a\"").sees("If-None-Match: \"a\""),
                hit(0),
            ],
        ),
        (
            "s4_3_2_a_clients_date_of_what_is_stale",
            vec![
                asks(stale("Last-Modified: Tue, 15 Nov 1994 12:45:26 GMT")),
                asks(same("Cache-Control: max-age=60\nLast-Modified: Tue, 15 Nov 1994 12:45:26 GMT"))
                    .with("If-Modified-Since: Tue, 15 Nov 1994 12:45:26 GMT"),
                hit(0),
            ],
        ),
        (
            "s4_3_2_a_clients_other_etag_gets_the_whole_answer",
            vec![
                asks(stale("ETag: \"a\"").body("one")),
                asks(ok("Cache-Control: max-age=60\nETag: \"a\"").body("one").knows("\"a\""))
                    .with("If-None-Match: \"b\"")
                    .status(200)
                    .body("one"),
                hit(0),
            ],
        ),
        (
            "s4_3_2_a_clients_other_etag_and_a_new_answer",
            vec![
                asks(stale("ETag: \"a\"")),
                asks(ok("Cache-Control: max-age=60\nETag: \"c\"")).with("If-None-Match: \"b\""),
                hit(1),
            ],
        ),
        (
            "s4_3_2_a_new_answer_that_the_client_has_already",
            vec![
                asks(stale("ETag: \"a\"").body("one")),
                asks(ok("Cache-Control: max-age=60\nETag: \"b\"").body("two").knows("\"b\""))
                    .with("If-None-Match: \"b\"")
                    .status(200)
                    .status(304)
                    .body("two"),
                either(1, ok("Cache-Control: max-age=60\nETag: \"b\"").body("two")).body("two"),
            ],
        ),
    ])
    .await;
}
