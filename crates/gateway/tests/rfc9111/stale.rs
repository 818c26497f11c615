//! Section 4.2.4: what is stale is given only where that is allowed; RFC 5861 allows it for errors and while it is fetched anew.

use crate::table::{answer, asks, either, fails, hit, kept, later, made, nothing, ok, run, same, valid};

#[tokio::test(flavor = "multi_thread")]
async fn section_4_2_4_stale_answers() {
    // Stale by 40 seconds, with something to validate it by: such an answer is worth being stored.
    let stale = |directives: &str| ok(&format!("Cache-Control: max-age=60{directives}\nAge: 100\nETag: \"a\""));
    let fresh = || ok("Cache-Control: max-age=60");
    run(vec![
        ("s4_2_4_a_503_is_passed_on", vec![asks(stale("")), asks(answer(503, ""))]),
        ("s4_2_4_a_500_is_passed_on", vec![asks(stale("")), asks(answer(500, ""))]),
        (
            "s4_2_4_a_503_leaves_what_is_stored",
            vec![asks(stale("")), asks(answer(503, "")), valid(0, same("ETag: \"a\"\nCache-Control: max-age=60")), hit(0)],
        ),
        ("rfc5861_s4_stale_if_error_for_500", vec![asks(stale(", stale-if-error=600")), kept(0, answer(500, "")).age(100, 119)]),
        ("rfc5861_s4_stale_if_error_for_502", vec![asks(stale(", stale-if-error=600")), kept(0, answer(502, ""))]),
        ("rfc5861_s4_stale_if_error_for_503", vec![asks(stale(", stale-if-error=600")), kept(0, answer(503, ""))]),
        ("rfc5861_s4_stale_if_error_for_504", vec![asks(stale(", stale-if-error=600")), kept(0, answer(504, ""))]),
        ("rfc5861_s4_stale_if_error_for_a_broken_connection", vec![asks(stale(", stale-if-error=600")), kept(0, nothing())]),
        (
            "rfc5861_s4_stale_if_error_again_and_again",
            vec![asks(stale(", stale-if-error=600")), kept(0, answer(503, "")), kept(0, answer(503, "")), asks(fresh()), hit(3)],
        ),
        ("rfc5861_s4_stale_if_error_not_for_404", vec![asks(stale(", stale-if-error=600")), asks(answer(404, ""))]),
        ("rfc5861_s4_stale_if_error_not_for_403", vec![asks(stale(", stale-if-error=600")), asks(answer(403, ""))]),
        ("rfc5861_s4_stale_if_error_not_for_501", vec![asks(stale(", stale-if-error=600")), asks(answer(501, ""))]),
        ("rfc5861_s4_stale_if_error_not_for_too_long", vec![asks(stale(", stale-if-error=10")), asks(answer(503, ""))]),
        ("rfc5861_s4_stale_if_error_of_letters", vec![asks(stale(", stale-if-error=abc")), asks(answer(503, ""))]),
        ("rfc5861_s4_stale_if_error_quoted_elsewhere", vec![asks(stale(", ext=\"stale-if-error=600\"")), asks(answer(503, ""))]),
        (
            "rfc5861_s4_stale_if_error_of_much",
            vec![asks(stale(", stale-if-error=99999999999999999999")), kept(0, answer(503, ""))],
        ),
        (
            "rfc5861_s4_stale_if_error_without_a_validator",
            vec![asks(ok("Cache-Control: max-age=60, stale-if-error=600\nAge: 100")), kept(0, answer(503, ""))],
        ),
        (
            "rfc5861_s4_stale_if_error_with_expires",
            vec![asks(ok("Expires: {-60}\nCache-Control: stale-if-error=600\nETag: \"a\"")), kept(0, answer(503, ""))],
        ),
        (
            "rfc5861_s4_stale_if_error_is_for_that_variant",
            vec![
                asks(ok("Cache-Control: max-age=60, stale-if-error=600\nAge: 100\nVary: Foo")).with("Foo: 1"),
                asks(answer(503, "")).with("Foo: 2"),
                kept(0, answer(503, "")).with("Foo: 1"),
            ],
        ),
        (
            "rfc5861_s4_stale_if_error_of_the_request",
            vec![
                asks(stale("").body("old")),
                either(0, answer(503, "").body("old")).with("Cache-Control: stale-if-error=600").status(200).status(503),
            ],
        ),
        (
            "s5_2_2_2_must_revalidate_wins_over_stale_if_error",
            vec![asks(stale(", must-revalidate, stale-if-error=600")), asks(answer(503, ""))],
        ),
        ("s5_2_2_2_must_revalidate_fails_with_the_connection", vec![asks(stale(", must-revalidate")), fails(nothing())]),
        (
            "s5_2_2_2_must_revalidate_and_stale_if_error_fail_with_the_connection",
            vec![asks(stale(", must-revalidate, stale-if-error=600")), fails(nothing())],
        ),
        (
            "s5_2_2_8_proxy_revalidate_wins_over_stale_if_error",
            vec![asks(stale(", proxy-revalidate, stale-if-error=600")), asks(answer(503, ""))],
        ),
        ("s5_2_2_8_proxy_revalidate_fails_with_the_connection", vec![asks(stale(", proxy-revalidate")), fails(nothing())]),
        (
            "s5_2_2_10_s_maxage_wins_over_stale_if_error",
            vec![asks(ok("Cache-Control: s-maxage=60, stale-if-error=600\nAge: 100\nETag: \"a\"")), asks(answer(503, ""))],
        ),
        (
            "s5_2_2_10_s_maxage_fails_with_the_connection",
            vec![asks(ok("Cache-Control: s-maxage=60\nAge: 100\nETag: \"a\"")), fails(nothing())],
        ),
        (
            "s5_2_2_4_no_cache_wins_over_stale_if_error",
            vec![asks(ok("Cache-Control: max-age=600, no-cache, stale-if-error=600\nETag: \"a\"")), asks(answer(503, ""))],
        ),
        (
            "s5_2_2_4_no_cache_fails_with_the_connection",
            vec![asks(ok("Cache-Control: max-age=600, no-cache\nETag: \"a\"")), fails(nothing())],
        ),
        (
            "rfc5861_s3_while_revalidating_a_new_answer",
            vec![asks(stale(", stale-while-revalidate=600")), later(0, fresh()).age(100, 119), hit(1)],
        ),
        (
            "rfc5861_s3_while_revalidating_the_same_answer",
            vec![
                asks(stale(", stale-while-revalidate=600")),
                later(0, same("Cache-Control: max-age=60\nETag: \"a\"")).sees("If-None-Match: \"a\""),
                hit(0).age(0, 19),
            ],
        ),
        (
            "rfc5861_s3_a_part_is_enough_for_the_client_and_the_whole_is_fetched",
            vec![
                asks(stale(", stale-while-revalidate=600").body("0123456789")),
                later(0, fresh()).with("Range: bytes=0-3").status(206).body("0123").unseen("Range"),
                hit(1),
            ],
        ),
        (
            "rfc5861_s3_a_clients_condition_is_not_asked_for_it",
            vec![
                asks(stale(", stale-while-revalidate=600")),
                later(0, fresh()).with("If-None-Match: \"a\", \"z\"").status(304).sees("If-None-Match: \"a\""),
                hit(1),
            ],
        ),
        (
            "rfc5861_s3_head_has_it_fetched_too",
            vec![asks(stale(", stale-while-revalidate=600")), later(0, fresh()).method("HEAD"), either(1, fresh())],
        ),
        (
            "rfc5861_s3_while_revalidating_an_error",
            vec![asks(stale(", stale-while-revalidate=600")), later(0, answer(503, "")), later(0, fresh()), hit(2)],
        ),
        (
            "rfc5861_s3_while_revalidating_half_an_answer",
            vec![
                asks(stale(", stale-while-revalidate=600")),
                later(0, ok("Cache-Control: max-age=60").wire(crate::stage::Wire::HalfLength)),
                later(0, fresh()),
                hit(2),
            ],
        ),
        ("rfc5861_s3_not_for_too_long", vec![asks(stale(", stale-while-revalidate=10")), asks(fresh())]),
        (
            "rfc5861_s3_not_with_must_revalidate",
            vec![asks(stale(", must-revalidate, stale-while-revalidate=600")), asks(fresh())],
        ),
        (
            "rfc5861_s3_not_with_proxy_revalidate",
            vec![asks(stale(", proxy-revalidate, stale-while-revalidate=600")), asks(fresh())],
        ),
        (
            "rfc5861_s3_not_with_no_cache",
            vec![asks(ok("Cache-Control: max-age=60, no-cache, stale-while-revalidate=600\nETag: \"a\"")), asks(fresh())],
        ),
        (
            "rfc5861_s3_not_when_the_client_wants_it_new",
            vec![asks(stale(", stale-while-revalidate=600")), asks(fresh()).with("Cache-Control: no-cache"), hit(1)],
        ),
        (
            "rfc5861_s3_not_when_the_client_wants_it_young",
            vec![asks(stale(", stale-while-revalidate=600")), asks(fresh()).with("Cache-Control: max-age=0")],
        ),
        ("rfc5861_s3_fresh_is_fresh", vec![asks(ok("Cache-Control: max-age=60, stale-while-revalidate=600")), hit(0)]),
        ("s4_2_4_only_if_cached_gets_nothing_stale", vec![asks(stale("")), made(504).with("Cache-Control: only-if-cached")]),
    ])
    .await;
}
