//! Section 3: what is stored, and what of it.

use crate::{
    stage::Wire,
    table::{Case, answer, asks, either, fails, hit, made, ok, run},
};

/// Statuses that are cacheable without being told so (RFC 9110, 15.1), less 206.
const BY_THEMSELVES: [(u16, [&str; 3]); 11] = [
    (200, ["s3_200_with_max_age_is_stored", "s3_200_is_heuristically_cacheable", "s3_200_with_no_store_is_not_stored"]),
    (203, ["s3_203_with_max_age_is_stored", "s3_203_is_heuristically_cacheable", "s3_203_with_no_store_is_not_stored"]),
    (204, ["s3_204_with_max_age_is_stored", "s3_204_is_heuristically_cacheable", "s3_204_with_no_store_is_not_stored"]),
    (300, ["s3_300_with_max_age_is_stored", "s3_300_is_heuristically_cacheable", "s3_300_with_no_store_is_not_stored"]),
    (301, ["s3_301_with_max_age_is_stored", "s3_301_is_heuristically_cacheable", "s3_301_with_no_store_is_not_stored"]),
    (308, ["s3_308_with_max_age_is_stored", "s3_308_is_heuristically_cacheable", "s3_308_with_no_store_is_not_stored"]),
    (404, ["s3_404_with_max_age_is_stored", "s3_404_is_heuristically_cacheable", "s3_404_with_no_store_is_not_stored"]),
    (405, ["s3_405_with_max_age_is_stored", "s3_405_is_heuristically_cacheable", "s3_405_with_no_store_is_not_stored"]),
    (410, ["s3_410_with_max_age_is_stored", "s3_410_is_heuristically_cacheable", "s3_410_with_no_store_is_not_stored"]),
    (414, ["s3_414_with_max_age_is_stored", "s3_414_is_heuristically_cacheable", "s3_414_with_no_store_is_not_stored"]),
    (501, ["s3_501_with_max_age_is_stored", "s3_501_is_heuristically_cacheable", "s3_501_with_no_store_is_not_stored"]),
];

/// Statuses that are cacheable only when told so.
const WHEN_TOLD: [(u16, [&str; 2]); 11] = [
    (201, ["s3_201_with_max_age_is_stored", "s3_201_is_not_heuristically_cacheable"]),
    (202, ["s3_202_with_max_age_is_stored", "s3_202_is_not_heuristically_cacheable"]),
    (299, ["s3_unknown_299_with_max_age_is_stored", "s3_unknown_299_is_not_heuristically_cacheable"]),
    (302, ["s3_302_with_max_age_is_stored", "s3_302_is_not_heuristically_cacheable"]),
    (303, ["s3_303_with_max_age_is_stored", "s3_303_is_not_heuristically_cacheable"]),
    (307, ["s3_307_with_max_age_is_stored", "s3_307_is_not_heuristically_cacheable"]),
    (400, ["s3_400_with_max_age_is_stored", "s3_400_is_not_heuristically_cacheable"]),
    (403, ["s3_403_with_max_age_is_stored", "s3_403_is_not_heuristically_cacheable"]),
    (429, ["s3_429_with_max_age_is_stored", "s3_429_is_not_heuristically_cacheable"]),
    (500, ["s3_500_with_max_age_is_stored", "s3_500_is_not_heuristically_cacheable"]),
    (503, ["s3_503_with_max_age_is_stored", "s3_503_is_not_heuristically_cacheable"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn section_3_statuses() {
    let fresh = "Cache-Control: max-age=60";
    let modified = "Last-Modified: {-100000}";
    let mut cases: Vec<Case> = Vec::new();
    for (status, [told, by_itself, not]) in BY_THEMSELVES {
        let no = || answer(status, "Cache-Control: max-age=60, no-store\nLast-Modified: {-100000}");
        cases.push((told, vec![asks(answer(status, fresh)), hit(0)]));
        cases.push((by_itself, vec![asks(answer(status, modified)), hit(0)]));
        cases.push((not, vec![asks(no()), asks(no())]));
    }
    for (status, [told, by_itself]) in WHEN_TOLD {
        cases.push((told, vec![asks(answer(status, fresh)), hit(0)]));
        cases.push((by_itself, vec![asks(answer(status, modified)), asks(answer(status, modified))]));
    }
    cases.extend([
        (
            "s5_2_2_3_must_understand_of_a_known_status_is_stored",
            vec![asks(ok("Cache-Control: max-age=60, must-understand")), hit(0)],
        ),
        (
            "s5_2_2_3_must_understand_of_an_unknown_status_is_not_stored",
            vec![
                asks(answer(599, "Cache-Control: max-age=60, must-understand")),
                asks(answer(599, "Cache-Control: max-age=60, must-understand")),
            ],
        ),
        (
            "s5_2_2_3_must_understand_of_an_unknown_success_is_not_stored",
            vec![
                asks(answer(299, "Cache-Control: must-understand, s-maxage=60")),
                asks(answer(299, "Cache-Control: must-understand, s-maxage=60")),
            ],
        ),
        (
            "s5_2_2_3_must_understand_of_an_unknown_error_is_not_stored",
            vec![
                asks(answer(499, "Cache-Control: must-understand, max-age=60")),
                asks(answer(499, "Cache-Control: must-understand, max-age=60")),
            ],
        ),
        (
            "s5_2_2_3_must_understand_may_lift_no_store",
            vec![asks(ok("Cache-Control: max-age=60, must-understand, no-store")), either(0, ok(fresh))],
        ),
        (
            "s5_2_2_3_must_understand_does_not_lift_no_store_of_an_unknown_status",
            vec![
                asks(answer(599, "Cache-Control: max-age=60, must-understand, no-store")),
                asks(answer(599, "Cache-Control: max-age=60, must-understand, no-store")),
            ],
        ),
        (
            "s3_206_is_not_stored_as_a_whole",
            vec![
                asks(answer(206, "Cache-Control: max-age=60\nContent-Range: bytes 0-3/10").body("0123")).with("Range: bytes=0-3"),
                asks(ok(fresh).body("0123456789")).unseen("Range"),
                hit(1),
            ],
        ),
        (
            "s3_206_that_nobody_asked_for_is_not_stored",
            vec![
                asks(answer(206, "Cache-Control: max-age=60\nContent-Range: bytes 0-3/10").body("0123")),
                asks(ok(fresh)),
                hit(1),
            ],
        ),
        ("s3_103_is_not_the_answer_that_is_stored", vec![asks(ok(fresh).with_hints()), hit(0).lacks("Link").is(fresh)]),
        ("s3_421_after_nothing_is_not_reused", vec![asks(answer(421, "")), asks(ok(fresh)), hit(1)]),
    ]);
    run(cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn section_3_whether_to_store() {
    let fresh = || ok("Cache-Control: max-age=60");
    let no = |control: &'static str| vec![asks(ok(control)), asks(ok(control))];
    let yes = |control: &'static str| vec![asks(ok(control)), hit(0)];
    run(vec![
        ("s3_without_freshness_or_validator_nothing_is_reused", no("")),
        ("s3_public_alone_is_no_freshness", no("Cache-Control: public")),
        ("s3_an_etag_alone_is_no_freshness", no("ETag: \"a\"")),
        ("s3_expires_is_enough", yes("Expires: {+60}")),
        ("s3_s_maxage_is_enough", yes("Cache-Control: s-maxage=60")),
        ("s5_2_2_5_no_store_is_not_stored", no("Cache-Control: no-store, max-age=60")),
        ("s5_2_2_5_no_store_in_any_case_is_not_stored", no("Cache-Control: max-age=60, No-STORE")),
        ("s5_2_2_5_no_store_in_a_second_field_is_not_stored", no("Cache-Control: max-age=60\nCache-Control: no-store")),
        ("s5_2_2_5_no_store_in_a_first_field_is_not_stored", no("Cache-Control: no-store\nCache-Control: max-age=60, public")),
        ("s5_2_2_5_no_store_wins_over_public", no("Cache-Control: public, max-age=60, no-store")),
        ("s5_2_2_5_no_store_without_blanks_is_not_stored", no("Cache-Control: max-age=60,no-store,public")),
        ("s5_2_2_5_no_store_between_tabs_is_not_stored", no("Cache-Control: max-age=60\t,\tno-store\t,\tpublic")),
        ("s5_2_2_5_no_store_after_empty_elements_is_not_stored", no("Cache-Control: ,, max-age=60,, ,no-store")),
        ("s5_2_2_7_private_is_not_stored", no("Cache-Control: private, max-age=60")),
        ("s5_2_2_7_private_in_any_case_is_not_stored", no("Cache-Control: PRIVATE, max-age=60")),
        ("s5_2_2_7_private_wins_over_s_maxage", no("Cache-Control: private, s-maxage=60")),
        ("s5_2_2_7_private_wins_over_public", no("Cache-Control: public, private, max-age=60")),
        ("s5_2_2_7_private_with_expires_is_not_stored", no("Cache-Control: private\nExpires: {+60}")),
        (
            "s5_2_2_7_private_fields_are_not_given_to_others",
            vec![
                asks(ok("Cache-Control: max-age=60, private=\"X-Mine\"\nX-Mine: secret")).has("X-Mine"),
                either(0, fresh()).lacks("X-Mine"),
            ],
        ),
        (
            "s5_2_2_7_several_private_fields_are_not_given_to_others",
            vec![
                asks(ok("Cache-Control: max-age=60, private=\"x-mine, X-Other\"\nX-Mine: secret\nX-Other: secret")),
                either(0, fresh()).lacks("X-Mine").lacks("X-Other"),
            ],
        ),
        (
            "s5_2_2_4_no_cache_fields_are_not_reused_unasked",
            vec![
                asks(ok("Cache-Control: max-age=60, no-cache=\"X-Mine\"\nX-Mine: secret")).has("X-Mine"),
                either(0, fresh()).lacks("X-Mine"),
            ],
        ),
        (
            "s5_2_2_4_several_no_cache_fields_are_not_reused_unasked",
            vec![
                asks(ok("Cache-Control: max-age=60, no-cache=\"X-Mine, set-cookie\"\nX-Mine: secret\nSet-Cookie: a=b")),
                either(0, fresh()).lacks("X-Mine").lacks("Set-Cookie"),
            ],
        ),
        (
            "s5_2_1_5_no_store_of_the_request_is_not_stored",
            vec![asks(fresh()).with("Cache-Control: no-store"), asks(fresh()), hit(1)],
        ),
        ("s5_2_1_5_no_store_of_the_request_in_any_case", vec![asks(fresh()).with("Cache-Control: foo, NO-store"), asks(fresh())]),
        (
            "s5_2_1_5_no_store_of_the_request_does_not_replace_what_is_stored",
            vec![asks(fresh()), either(0, fresh()).with("Cache-Control: no-store"), hit(0)],
        ),
        (
            "s5_2_1_5_no_store_of_the_request_in_a_second_field",
            vec![asks(fresh()).with("Cache-Control: max-age=100\nCache-Control: no-store"), asks(fresh())],
        ),
        (
            "s3_5_authorization_with_max_age_is_not_stored",
            vec![asks(fresh()).with("Authorization: Basic YTpi").sees("Authorization: Basic YTpi"), asks(fresh()), hit(1)],
        ),
        (
            "s3_5_authorization_is_not_given_to_itself_either",
            vec![asks(fresh()).with("Authorization: Basic YTpi"), asks(fresh()).with("Authorization: Basic YTpi")],
        ),
        (
            "s3_5_authorization_with_expires_is_not_stored",
            vec![asks(ok("Expires: {+60}")).with("Authorization: Bearer x"), asks(fresh())],
        ),
        (
            "s3_5_authorization_with_last_modified_is_not_stored",
            vec![asks(ok("Last-Modified: {-100000}")).with("Authorization: Bearer x"), asks(fresh())],
        ),
        (
            "s3_5_authorization_with_public_is_stored",
            vec![asks(ok("Cache-Control: public, max-age=60")).with("Authorization: Basic YTpi"), hit(0)],
        ),
        (
            "s3_5_authorization_with_s_maxage_is_stored",
            vec![asks(ok("Cache-Control: s-maxage=60")).with("Authorization: Basic YTpi"), hit(0)],
        ),
        (
            "s3_5_authorization_with_must_revalidate_is_stored",
            vec![asks(ok("Cache-Control: must-revalidate, max-age=60")).with("Authorization: Basic YTpi"), hit(0)],
        ),
        (
            "s3_5_authorization_with_proxy_revalidate_only_is_not_stored",
            vec![asks(ok("Cache-Control: proxy-revalidate, max-age=60")).with("Authorization: Basic YTpi"), asks(fresh())],
        ),
        (
            "s3_5_authorization_with_private_is_not_stored",
            vec![
                asks(ok("Cache-Control: private, max-age=60, must-revalidate")).with("Authorization: Basic YTpi"),
                asks(ok("Cache-Control: private, max-age=60, must-revalidate")).with("Authorization: Basic Yzpk"),
                asks(fresh()),
            ],
        ),
        (
            "s3_5_authorization_with_no_store_and_public_is_not_stored",
            vec![asks(ok("Cache-Control: public, no-store, max-age=60")).with("Authorization: Basic YTpi"), asks(fresh())],
        ),
        (
            "s3_5_authorization_is_sent_on_though_something_is_stored",
            vec![asks(fresh()), either(0, fresh()).with("Authorization: Basic YTpi").sees("Authorization: Basic YTpi")],
        ),
        ("s3_5_authorization_in_any_case_is_not_stored", vec![asks(fresh()).with("aUTHORIZATION: Basic YTpi"), asks(fresh())]),
        (
            "s7_3_set_cookie_with_max_age_only_is_not_stored",
            vec![
                asks(ok("Cache-Control: max-age=60\nSet-Cookie: session=1")).is("Set-Cookie: session=1"),
                asks(ok("Cache-Control: max-age=60\nSet-Cookie: session=2")).is("Set-Cookie: session=2"),
            ],
        ),
        (
            "s7_3_set_cookie_with_expires_only_is_not_stored",
            vec![asks(ok("Expires: {+60}\nSet-Cookie: session=1")), asks(fresh()).lacks("Set-Cookie")],
        ),
        (
            "s7_3_set_cookie_with_last_modified_only_is_not_stored",
            vec![asks(ok("Last-Modified: {-100000}\nSet-Cookie: session=1")), asks(fresh()).lacks("Set-Cookie")],
        ),
        ("s7_3_set_cookie_with_public_is_stored", yes("Cache-Control: public, max-age=60\nSet-Cookie: a=b")),
        ("s7_3_set_cookie_with_s_maxage_is_stored", yes("Cache-Control: s-maxage=60\nSet-Cookie: a=b")),
        ("s7_3_set_cookie_with_private_is_not_stored", no("Cache-Control: private, s-maxage=60\nSet-Cookie: a=b")),
        ("s3_only_if_cached_finds_what_was_stored", vec![asks(fresh()), hit(0).with("Cache-Control: only-if-cached")]),
        (
            "s3_only_if_cached_does_not_find_what_was_not",
            vec![asks(ok("Cache-Control: no-store")), made(504).with("Cache-Control: only-if-cached")],
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn section_3_1_fields() {
    run(vec![
        (
            "s3_1_fields_are_stored_and_given_back",
            vec![
                asks(ok("Cache-Control: max-age=60\nX-Unknown: a\nContent-Type: text/css\nETag: \"a\"\nLast-Modified: {-500}\nLink: </a>")),
                hit(0).is("X-Unknown: a").is("Content-Type: text/css").is("ETag: \"a\"").same("Last-Modified").is("Link: </a>").same("Date"),
            ],
        ),
        (
            "s3_1_repeated_fields_keep_their_order",
            vec![asks(ok("Cache-Control: max-age=60\nX-A: 1\nX-B: x\nX-A: 2\nX-A: 0")), hit(0).is("X-A: 1, 2, 0").is("X-B: x")],
        ),
        ("s3_1_an_empty_field_stays_empty", vec![asks(ok("Cache-Control: max-age=60\nX-Empty:")), hit(0).is("X-Empty:")]),
        (
            "s3_1_fields_that_connection_names_are_not_stored",
            vec![
                asks(ok("Cache-Control: max-age=60\nConnection: X-Hop, x-other\nX-Hop: 1\nX-Other: 2\nX-Kept: 3")),
                hit(0).lacks("X-Hop").lacks("X-Other").is("X-Kept: 3"),
            ],
        ),
        (
            "s3_1_fields_of_the_connection_are_not_stored",
            vec![
                asks(ok("Cache-Control: max-age=60\nKeep-Alive: timeout=5\nProxy-Connection: keep-alive\nTE: trailers\nUpgrade: h2c")),
                hit(0).lacks("Keep-Alive").lacks("Proxy-Connection").lacks("TE").lacks("Upgrade"),
            ],
        ),
        (
            "s3_1_fields_of_a_proxy_are_not_stored",
            vec![
                asks(ok("Cache-Control: max-age=60\nProxy-Authenticate: Basic\nProxy-Authentication-Info: x=y\nProxy-Authorization: z")),
                hit(0).lacks("Proxy-Authenticate").lacks("Proxy-Authentication-Info").lacks("Proxy-Authorization"),
            ],
        ),
        (
            "s3_1_content_encoding_is_stored",
            vec![
                asks(ok("Cache-Control: max-age=60\nContent-Encoding: x-rot13\nContent-Language: de")),
                hit(0).is("Content-Encoding: x-rot13").is("Content-Language: de"),
            ],
        ),
        (
            "s3_1_unknown_directives_are_given_back",
            vec![asks(ok("Cache-Control: max-age=60, ext=\"a, b\", Foo")), hit(0).is("Cache-Control: max-age=60, ext=\"a, b\", Foo")],
        ),
        ("s3_1_obs_text_is_given_back", vec![asks(ok("Cache-Control: max-age=60\nX-Name: J\u{fc}rgen")), hit(0).is("X-Name: J\u{fc}rgen")]),
        (
            "s3_1_the_length_is_given_back",
            vec![asks(ok("Cache-Control: max-age=60").body("0123456789")).is("Content-Length: 10"), hit(0).is("Content-Length: 10")],
        ),
        (
            "rfc9110_s7_6_3_via_is_on_what_is_stored_too",
            vec![asks(ok("Cache-Control: max-age=60")).has("Via"), hit(0).has("Via").same("Via")],
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn section_3_3_incomplete_answers() {
    let fresh = || ok("Cache-Control: max-age=60");
    let long: &'static str = "0123456789abcdef".repeat(16 * 1024).leak();
    run(vec![
        ("s3_3_shorter_than_its_length_is_not_stored", vec![fails(fresh().wire(Wire::HalfLength)), asks(fresh()), hit(1)]),
        ("s3_3_chunks_without_an_end_are_not_stored", vec![fails(fresh().wire(Wire::HalfChunked)), asks(fresh()), hit(1)]),
        (
            "s3_3_a_long_one_that_breaks_off_is_not_stored",
            vec![fails(fresh().body(long).wire(Wire::HalfLength)), asks(fresh().body(long)), hit(1)],
        ),
        (
            "s3_3_half_an_answer_does_not_replace_a_whole_one",
            vec![asks(fresh()), fails(fresh().wire(Wire::HalfLength)).with("Cache-Control: no-cache"), either(0, fresh())],
        ),
        ("s3_3_a_late_half_is_half_an_answer", vec![fails(fresh().wire(Wire::LateHalf)), asks(fresh()), hit(1)]),
        ("s3_3_a_late_second_half_makes_it_whole", vec![asks(fresh().wire(Wire::LateLength)), hit(0)]),
        ("s3_3_late_chunks_make_it_whole", vec![asks(fresh().wire(Wire::LateChunked)), hit(0)]),
        ("s3_3_what_ends_with_the_connection_is_whole", vec![asks(fresh().wire(Wire::UntilEnd)), hit(0)]),
        ("s3_3_what_an_old_server_ends_is_whole", vec![asks(fresh().wire(Wire::Old)), hit(0)]),
        ("s3_3_old_servers_know_expires", vec![asks(ok("Expires: {+60}").wire(Wire::Old)), hit(0)]),
        ("s3_3_chunks_are_stored", vec![asks(fresh().wire(Wire::Chunked)), hit(0), hit(0).method("HEAD")]),
        ("s3_3_long_chunks_are_stored", vec![asks(fresh().body(long).wire(Wire::Chunked)), hit(0)]),
        ("s3_3_a_long_answer_is_stored", vec![asks(fresh().body(long)), hit(0)]),
        ("s3_3_an_empty_answer_is_stored", vec![asks(fresh().body("")), hit(0).is("Content-Length: 0")]),
        ("s3_3_an_answer_of_no_chunks_is_stored", vec![asks(fresh().body("").wire(Wire::Chunked)), hit(0)]),
    ])
    .await;
}
