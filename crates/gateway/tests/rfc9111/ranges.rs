//! Ranges (RFC 9110, 14) of what is stored whole.

use crate::{
    stage::{Answer, Wire},
    table::{answer, asks, either, hit, ok, run, same, valid},
};

fn ten() -> Answer {
    ok("Cache-Control: max-age=600\nETag: \"a\"\nLast-Modified: Tue, 15 Nov 1994 12:45:26 GMT").body("0123456789")
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc_9110_section_14_ranges() {
    let part = |range: &'static str| hit(0).with(range).status(206);
    let whole = |range: &'static str| hit(0).with(range).status(200).body("0123456789").lacks("Content-Range");
    run(vec![
        (
            "rfc9110_s14_1_2_the_first_bytes",
            vec![
                asks(ten()),
                part("Range: bytes=0-3").body("0123").is("Content-Range: bytes 0-3/10").is("Content-Length: 4").is("ETag: \"a\""),
            ],
        ),
        (
            "rfc9110_s14_1_2_bytes_in_the_middle",
            vec![asks(ten()), part("Range: bytes=4-6").body("456").is("Content-Range: bytes 4-6/10")],
        ),
        ("rfc9110_s14_1_2_one_byte", vec![asks(ten()), part("Range: bytes=9-9").body("9").is("Content-Range: bytes 9-9/10")]),
        (
            "rfc9110_s14_1_2_the_last_bytes",
            vec![asks(ten()), part("Range: bytes=-3").body("789").is("Content-Range: bytes 7-9/10")],
        ),
        (
            "rfc9110_s14_1_2_from_a_byte_on",
            vec![asks(ten()), part("Range: bytes=5-").body("56789").is("Content-Range: bytes 5-9/10")],
        ),
        (
            "rfc9110_s14_1_2_all_bytes",
            vec![asks(ten()), part("Range: bytes=0-").body("0123456789").is("Content-Range: bytes 0-9/10")],
        ),
        (
            "rfc9110_s14_1_2_beyond_the_last_byte",
            vec![asks(ten()), part("Range: bytes=5-100").body("56789").is("Content-Range: bytes 5-9/10")],
        ),
        (
            "rfc9110_s14_1_2_more_last_bytes_than_there_are",
            vec![asks(ten()), part("Range: bytes=-100").body("0123456789").is("Content-Range: bytes 0-9/10")],
        ),
        (
            "rfc9110_s14_1_2_an_end_of_more_than_64_bits",
            vec![asks(ten()), hit(0).with("Range: bytes=5-99999999999999999999999").status(206).status(200)],
        ),
        ("rfc9110_s14_2_a_unit_in_another_case", vec![asks(ten()), hit(0).with("Range: BYTES=0-3").status(206).status(200)]),
        (
            "rfc9110_s15_5_17_from_beyond_the_end",
            vec![asks(ten()), hit(0).with("Range: bytes=10-").status(416).is("Content-Range: bytes */10")],
        ),
        (
            "rfc9110_s15_5_17_a_range_beyond_the_end",
            vec![asks(ten()), hit(0).with("Range: bytes=100-200").status(416).is("Content-Range: bytes */10"), hit(0)],
        ),
        (
            "rfc9110_s15_5_17_the_last_no_bytes",
            vec![asks(ten()), hit(0).with("Range: bytes=-0").status(416).is("Content-Range: bytes */10")],
        ),
        (
            "rfc9110_s15_5_17_of_nothing",
            vec![asks(ok("Cache-Control: max-age=600").body("")), hit(0).with("Range: bytes=0-").status(416).status(200)],
        ),
        ("rfc9110_s14_2_an_unknown_unit_is_ignored", vec![asks(ten()), whole("Range: lines=0-3")]),
        ("rfc9110_s14_2_no_unit_is_ignored", vec![asks(ten()), hit(0).with("Range: 0-3").status(200).status(416)]),
        (
            "rfc9110_s14_2_a_range_of_letters_is_ignored_or_refused",
            vec![asks(ten()), hit(0).with("Range: bytes=abc").status(200).status(416)],
        ),
        (
            "rfc9110_s14_2_a_range_that_ends_before_it_begins",
            vec![asks(ten()), hit(0).with("Range: bytes=3-1").status(200).status(416)],
        ),
        ("rfc9110_s14_2_a_range_of_nothing", vec![asks(ten()), hit(0).with("Range: bytes=").status(200).status(416)]),
        ("rfc9110_s14_2_a_range_of_a_dash", vec![asks(ten()), hit(0).with("Range: bytes=-").status(200).status(416)]),
        (
            "rfc9110_s14_2_several_ranges_may_be_the_whole",
            vec![asks(ten()), hit(0).with("Range: bytes=0-1, 8-9").status(200).status(206)],
        ),
        (
            "rfc9110_s14_2_head_has_no_range",
            vec![asks(ten()), hit(0).method("HEAD").with("Range: bytes=0-3").status(200).is("Content-Length: 10")],
        ),
        (
            "rfc9110_s14_2_after_a_part_the_whole_is_there",
            vec![asks(ten()), part("Range: bytes=0-3").body("0123"), hit(0).lacks("Content-Range")],
        ),
        (
            "rfc9110_s14_2_a_range_of_chunks",
            vec![
                asks(ok("Cache-Control: max-age=600").body("0123456789").wire(Wire::Chunked)),
                part("Range: bytes=3-6").body("3456").is("Content-Range: bytes 3-6/10"),
            ],
        ),
        (
            "rfc9110_s14_2_a_range_of_what_ended_with_the_connection",
            vec![
                asks(ok("Cache-Control: max-age=600").body("0123456789").wire(Wire::UntilEnd)),
                part("Range: bytes=-1").body("9").is("Content-Range: bytes 9-9/10"),
            ],
        ),
        (
            "rfc9110_s14_2_an_error_has_no_range",
            vec![
                asks(answer(404, "Cache-Control: max-age=600").body("0123456789")),
                hit(0).with("Range: bytes=0-3").status(404).lacks("Content-Range"),
            ],
        ),
        ("rfc9110_s13_1_5_if_range_with_the_etag", vec![asks(ten()), part("Range: bytes=0-3\nIf-Range: \"a\"").body("0123")]),
        ("rfc9110_s13_1_5_if_range_with_another_etag", vec![asks(ten()), whole("Range: bytes=0-3\nIf-Range: \"b\"")]),
        ("rfc9110_s13_1_5_if_range_with_a_weak_etag", vec![asks(ten()), whole("Range: bytes=0-3\nIf-Range: W/\"a\"")]),
        (
            "rfc9110_s13_1_5_if_range_of_a_weak_etag",
            vec![
                asks(ok("Cache-Control: max-age=600\nETag: W/\"a\"").body("0123456789")),
                whole("Range: bytes=0-3\nIf-Range: W/\"a\""),
            ],
        ),
        (
            "rfc9110_s13_1_5_if_range_with_the_date",
            vec![asks(ten()), part("Range: bytes=0-3\nIf-Range: Tue, 15 Nov 1994 12:45:26 GMT").body("0123")],
        ),
        (
            "rfc9110_s13_1_5_if_range_with_a_later_date",
            vec![asks(ten()), whole("Range: bytes=0-3\nIf-Range: Wed, 16 Nov 1994 12:45:26 GMT")],
        ),
        (
            "rfc9110_s13_1_5_if_range_with_an_earlier_date",
            vec![asks(ten()), whole("Range: bytes=0-3\nIf-Range: Mon, 14 Nov 1994 12:45:26 GMT")],
        ),
        (
            "rfc9110_s13_1_5_if_range_against_no_etag",
            vec![asks(ok("Cache-Control: max-age=600").body("0123456789")), whole("Range: bytes=0-3\nIf-Range: \"a\"")],
        ),
        (
            "rfc9110_s13_1_5_if_range_with_another_etag_beyond_the_end",
            vec![asks(ten()), whole("Range: bytes=100-\nIf-Range: \"b\"")],
        ),
        (
            "rfc9110_s13_2_2_a_condition_comes_before_the_range",
            vec![asks(ten()), hit(0).with("Range: bytes=0-3\nIf-None-Match: \"a\"").status(304)],
        ),
        (
            "rfc9110_s13_2_2_a_condition_that_fails_leaves_the_range",
            vec![asks(ten()), part("Range: bytes=0-3\nIf-None-Match: \"b\"").body("0123")],
        ),
        (
            "rfc9110_s15_3_7_a_part_is_no_answer_to_others",
            vec![
                asks(answer(206, "Cache-Control: max-age=600\nContent-Range: bytes 0-3/10").body("0123"))
                    .with("Range: bytes=0-3")
                    .sees("Range: bytes=0-3")
                    .body("0123"),
                asks(ten()).unseen("Range"),
                hit(1),
            ],
        ),
        (
            "rfc9110_s15_3_7_a_part_is_not_stored",
            vec![
                asks(answer(206, "Cache-Control: max-age=600\nContent-Range: bytes 0-3/10").body("0123"))
                    .with("Range: bytes=0-3")
                    .body("0123"),
                asks(answer(206, "Cache-Control: max-age=600\nContent-Range: bytes 0-3/10").body("4567"))
                    .with("Range: bytes=0-3")
                    .body("4567"),
            ],
        ),
        (
            "rfc9110_s15_5_17_a_416_is_no_answer_to_others",
            vec![
                asks(answer(416, "Content-Range: bytes */10\nCache-Control: max-age=600")).with("Range: bytes=99-"),
                asks(ten()),
                hit(1),
            ],
        ),
        // The gateway may take the part out of the whole by itself, and keep the whole.
        (
            "rfc9110_s14_2_an_origin_may_ignore_the_range",
            vec![asks(ten()).with("Range: bytes=0-3").status(200).status(206), either(0, ten())],
        ),
        (
            "rfc9110_s14_2_a_range_of_what_is_stale_is_validated",
            vec![
                asks(ok("Cache-Control: max-age=60\nAge: 100\nETag: \"a\"").body("0123456789")),
                valid(0, same("Cache-Control: max-age=60\nETag: \"a\""))
                    .with("Range: bytes=0-3")
                    .status(206)
                    .body("0123")
                    .sees("If-None-Match: \"a\""),
                hit(0),
            ],
        ),
        (
            "rfc9110_s14_2_a_range_of_what_is_stale_and_changed",
            vec![
                asks(ok("Cache-Control: max-age=60\nAge: 100\nETag: \"a\"").body("0123456789")),
                asks(ok("Cache-Control: max-age=60\nETag: \"b\"").body("abcdefghij"))
                    .with("Range: bytes=0-3")
                    .status(200)
                    .status(206),
                either(1, ok("Cache-Control: max-age=60\nETag: \"b\"").body("abcdefghij")),
            ],
        ),
        (
            "rfc9110_s13_1_5_if_range_on_a_miss_is_passed_on",
            vec![
                asks(answer(206, "Cache-Control: max-age=600\nETag: \"a\"\nContent-Range: bytes 0-3/10").body("0123"))
                    .with("Range: bytes=0-3\nIf-Range: \"a\"")
                    .sees("Range: bytes=0-3")
                    .sees("If-Range: \"a\"")
                    .body("0123"),
                asks(ten()),
                hit(1),
            ],
        ),
        (
            "rfc9110_s14_2_a_range_with_no_cache_is_not_from_the_cache_unasked",
            vec![
                asks(ten()),
                valid(0, same("Cache-Control: max-age=600\nETag: \"a\""))
                    .with("Range: bytes=0-3\nCache-Control: no-cache")
                    .status(206)
                    .body("0123"),
            ],
        ),
        (
            "rfc9110_s14_2_a_range_has_the_age_of_the_whole",
            vec![
                asks(ok("Cache-Control: max-age=600\nAge: 50").body("0123456789")),
                part("Range: bytes=0-3").body("0123").age(50, 59),
            ],
        ),
    ])
    .await;
}
