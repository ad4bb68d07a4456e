// SPDX-License-Identifier: Apache-2.0
//
// The stream on a small packed dataset: the same bytes for any threads, slots, ranks and start;
// every sample once per epoch; damage replaced within a budget and an error beyond it; and an
// end at any moment.
#include "tests/unit/test.h"

#include "augment/stream.h"
#include "common/cpu.h"
#include "common/file.h"
#include "common/hash.h"
#include "pack/build.h"

#include <fcntl.h>

enum { IMAGES = 23, CLASSES = 3, BATCH = 4, STEPS = 5, SHORT_STEPS = 6, HASHES = 64 };

/* ---- the dataset ----------------------------------------------------------------------- */

static rq_status write_picture(const char *path, int i, int channels, rq_err *err)
{
    static uint8_t pixels[64 * 64 * 3];
    const int w = 40 + i % 7, h = 33 + i % 5;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            for (int c = 0; c < channels; c++) {
                const int dx = x - w / 2, dy = y - h / 2;
                const int disc = dx * dx + dy * dy < 120 ? 255 : 0;
                pixels[(y * w + x) * channels + c] =
                    (uint8_t)(channels == 1 ? disc : i * 31 + x * (c + 2) + y * 3 + x * y / 4);
            }
    rq_buf png = {0};
    rq_status st = rq_png_encode(pixels, w, h, channels, &png, err);
    if (st == RQ_OK)
        st = rq_file_write_atomic(path, png.data, png.size, err);
    rq_buf_free(&png);
    return st;
}

static rq_status write_pictures(rq_err *err)
{
    char path[64];
    for (int c = 0; c < CLASSES; c++) {
        snprintf(path, sizeof path, "images/class%d", c);
        RQ_TRY(rq_mkdirs(path, err));
    }
    RQ_TRY(rq_mkdirs("masks", err));
    for (int i = 0; i < IMAGES; i++) {
        snprintf(path, sizeof path, "images/class%d/p%02d.png", i % CLASSES, i);
        RQ_TRY(write_picture(path, i, 3, err));
        snprintf(path, sizeof path, "masks/p%02d.png", i);
        RQ_TRY(write_picture(path, i, 1, err));
    }
    return RQ_OK;
}

static rq_status pack(const char *dir, bool with_masks, rq_err *err)
{
    const char *source = "images";
    rq_source_opts so;
    rq_build_opts bo;
    rq_build_result result;
    rq_source *src = NULL;
    rq_masks *masks = NULL;
    rq_source_opts_default(&so);
    rq_build_opts_default(&bo);
    bo.encode.encoding = RQ_ENCODING_PPM;
    bo.threads = 2;
    rq_status st = rq_source_open(&src, &source, 1, &so, err);
    if (st == RQ_OK && with_masks)
        st = rq_masks_open(&masks, "masks", err);
    if (st == RQ_OK)
        st = rq_build(dir, src, masks, &bo, &result, err);
    if (st == RQ_OK &&
        (result.counts.samples != IMAGES || result.counts.masks != (with_masks ? IMAGES : 0)))
        st = rq_fail(err, RQ_INTERNAL, "packed %d samples, %d masks",
                     (int)result.counts.samples, (int)result.counts.masks);
    rq_masks_close(&masks);
    rq_source_close(&src);
    return st;
}

/* Two folders: "plain" and "masked", of the same pictures. */
static int make_datasets(void **state)
{
    rq_err err = {0};
    if (test_enter_temp_dir(state) != 0)
        return -1;
    if (write_pictures(&err) == RQ_OK && pack("plain", false, &err) == RQ_OK &&
        pack("masked", true, &err) == RQ_OK)
        return 0;
    fprintf(stderr, "%s\n", err.text);
    return -1;
}

/* ---- driving --------------------------------------------------------------------------- */

typedef struct setup {
    rq_recipe recipe;
    rq_stream_opts o;
    const char *dataset;
} setup;

static setup setup_default(void)
{
    setup s = {.dataset = "masked"};
    rq_err err = {0};
    assert_ok(rq_recipe_preset(&s.recipe, "relicv2", &err), &err);
    s.recipe.group[0] = (rq_view_group){2, 24, 0.14f, 1.0f};
    s.recipe.group[1] = (rq_view_group){1, 16, 0.05f, 0.14f};
    s.recipe.p_mask = 0.5f;
    rq_stream_opts_default(&s.o);
    s.o.batch = BATCH;
    s.o.threads = 2;
    s.o.epochs = 2;
    s.o.seed = 17;
    return s;
}

typedef struct session {
    rq_dataset *ds;
    rq_stream *stream;
} session;

static session begin(const setup *s)
{
    session e = {0};
    rq_err err = {0};
    assert_ok(rq_dataset_open(&e.ds, s->dataset, &err), &err);
    assert_ok(rq_stream_open(&e.stream, e.ds, &s->recipe, &s->o, &err), &err);
    return e;
}

static void finish(session *e)
{
    rq_stream_close(&e->stream);
    rq_stream_close(&e->stream); // of nothing: fine
    rq_dataset_close(&e->ds);
}

static size_t group_bytes(const rq_batch *b, int g)
{
    return (size_t)b->group[g].views * (size_t)b->images * (size_t)b->group[g].size *
           (size_t)b->group[g].size * 3;
}

static void hash_batch(const rq_batch *b, char hex[RQ_SHA256_HEX])
{
    rq_sha256 *h;
    rq_err err = {0};
    assert_ok(rq_sha256_create(&h, &err), &err);
    for (int g = 0; g < b->groups; g++)
        rq_sha256_update(h, b->group[g].data, group_bytes(b, g));
    rq_sha256_update(h, b->ids, sizeof *b->ids * (size_t)b->images);
    rq_sha256_update(h, b->labels, sizeof *b->labels * (size_t)b->images);
    rq_sha256_hex(h, hex);
    rq_sha256_destroy(&h);
}

typedef char hash_list[HASHES][RQ_SHA256_HEX];

/* Hash of every batch until the end; returns how many. */
static int run(const setup *s, hash_list list)
{
    session e = begin(s);
    const rq_batch *b;
    rq_err err = {0};
    int n = 0;
    rq_status st;
    while ((st = rq_stream_next(e.stream, &b, &err)) == RQ_OK) {
        assert_true(n < HASHES);
        hash_batch(b, list[n++]);
        rq_stream_release(e.stream, b);
    }
    assert_status(st, RQ_END);
    assert_status(rq_stream_next(e.stream, &b, &err), RQ_END);
    finish(&e);
    return n;
}

/* ---- exactness ------------------------------------------------------------------------- */

static void bytes_do_not_depend_on_threads_or_slots(void **state)
{
    static hash_list want, got;
    setup s = setup_default();
    s.o.threads = 1;
    s.o.slots = 2;
    assert_int_equal(run(&s, want), 2 * STEPS);
    for (int i = 1; i < 2 * STEPS; i++)
        assert_string_not_equal(want[i], want[i - 1]);
    const int threads[] = {1, 2, 3, 7}, slots[] = {2, 5};
    for (int t = 0; t < 4; t++)
        for (int k = 0; k < 2; k++) {
            s.o.threads = threads[t];
            s.o.slots = slots[k];
            assert_int_equal(run(&s, got), 2 * STEPS);
            for (int i = 0; i < 2 * STEPS; i++)
                assert_string_equal(got[i], want[i]);
        }
}

static void a_stream_resumes_at_every_step(void **state)
{
    static hash_list want, got;
    setup s = setup_default();
    s.o.drop_last = false;
    const int n = run(&s, want);
    assert_int_equal(n, 2 * SHORT_STEPS);
    for (int i = 0; i <= n; i++) {
        s.o.start = (rq_position){(uint32_t)(i / SHORT_STEPS), (uint64_t)(i % SHORT_STEPS)};
        assert_int_equal(run(&s, got), n - i);
        for (int k = i; k < n; k++)
            assert_string_equal(got[k - i], want[k]);
    }
    s.o.start = (rq_position){0, SHORT_STEPS}; // the end of an epoch is the start of the next
    assert_int_equal(run(&s, got), SHORT_STEPS);
    assert_string_equal(got[0], want[SHORT_STEPS]);
}

static void another_seed_gives_other_bytes(void **state)
{
    static hash_list a, b;
    setup s = setup_default();
    run(&s, a);
    s.o.seed++;
    run(&s, b);
    for (int i = 0; i < 2 * STEPS; i++)
        assert_string_not_equal(a[i], b[i]);
}

/* Copies images [at, at + part->images) of a whole batch's every array against a rank's part.
 */
static void assert_part(const rq_batch *whole, const rq_batch *part, int at)
{
    assert_memory_equal(part->ids, whole->ids + at, sizeof *part->ids * (size_t)part->images);
    assert_memory_equal(part->labels, whole->labels + at,
                        sizeof *part->labels * (size_t)part->images);
    for (int g = 0; g < whole->groups; g++)
        for (int v = 0; v < whole->group[g].views; v++) {
            const size_t image =
                (size_t)whole->group[g].size * (size_t)whole->group[g].size * 3;
            const uint8_t *w = whole->group[g].data + (size_t)(v * whole->images + at) * image;
            const uint8_t *p = part->group[g].data + (size_t)(v * part->images) * image;
            assert_memory_equal(p, w, (size_t)part->images * image);
        }
}

static void ranks_together_are_the_whole_batch(void **state)
{
    setup s = setup_default();
    s.o.drop_last = false; // the last batch has 3 images for 4 ranks
    session whole = begin(&s), rank[4];
    s.o.world = 4;
    for (s.o.rank = 0; s.o.rank < 4; s.o.rank++)
        rank[s.o.rank] = begin(&s);
    for (int i = 0; i < 2 * SHORT_STEPS; i++) {
        const rq_batch *w, *p;
        rq_err err = {0};
        int at = 0;
        assert_ok(rq_stream_next(whole.stream, &w, &err), &err);
        for (int r = 0; r < 4; r++) {
            assert_ok(rq_stream_next(rank[r].stream, &p, &err), &err);
            assert_part(w, p, at);
            at += p->images;
            rq_stream_release(rank[r].stream, p);
        }
        assert_int_equal(at, w->images);
        rq_stream_release(whole.stream, w);
    }
    finish(&whole);
    for (int r = 0; r < 4; r++)
        finish(&rank[r]);
}

static void every_sample_comes_once_per_epoch(void **state)
{
    setup s = setup_default();
    s.o.drop_last = false;
    session e = begin(&s);
    assert_int_equal(rq_stream_steps_per_epoch(e.stream), SHORT_STEPS);
    uint64_t order[2][IMAGES];
    for (uint32_t epoch = 0; epoch < 2; epoch++) {
        int seen[IMAGES] = {0}, n = 0;
        for (uint64_t step = 0; step < SHORT_STEPS; step++) {
            const rq_batch *b;
            rq_err err = {0};
            const rq_position at = rq_stream_position(e.stream);
            assert_true(at.epoch == epoch && at.step == step);
            assert_ok(rq_stream_next(e.stream, &b, &err), &err);
            assert_true(b->position.epoch == epoch && b->position.step == step);
            assert_int_equal(b->images,
                             step + 1 < SHORT_STEPS ? BATCH : IMAGES - STEPS * BATCH);
            for (int i = 0; i < b->images; i++) {
                uint64_t place;
                assert_ok(rq_dataset_find(e.ds, b->ids[i], &place, &err), &err);
                assert_int_equal(rq_dataset_entry(e.ds, place, NULL)->label, b->labels[i]);
                order[epoch][n++] = b->ids[i];
                seen[b->ids[i]]++;
            }
            rq_stream_release(e.stream, b);
        }
        for (int i = 0; i < IMAGES; i++)
            assert_int_equal(seen[i], 1);
    }
    assert_memory_not_equal(order[0], order[1], sizeof order[0]);
    finish(&e);
}

/* The parameters in a batch are what was done: making a view again gives its bytes. */
static void parameters_reproduce_the_bytes(void **state)
{
    static uint8_t again[24 * 24 * 3];
    setup s = setup_default();
    s.o.order = RQ_ORDER_SEQUENTIAL;
    session e = begin(&s);
    rq_reader *reader;
    rq_view_maker *maker;
    rq_image image = {0}, mask = {0};
    const rq_batch *b;
    rq_err err = {0};
    int masked = 0;
    assert_ok(rq_reader_create(&reader, e.ds, &err), &err);
    assert_ok(rq_view_maker_create(&maker, &s.recipe, RQ_CPU_ALL, &err), &err);
    assert_ok(rq_stream_next(e.stream, &b, &err), &err);
    for (int i = 0; i < b->images; i++) {
        rq_sample sample;
        assert_ok(rq_reader_get(reader, (uint64_t)i, &sample, &err), &err);
        assert_int_equal(sample.id, b->ids[i]);
        assert_ok(rq_reader_decode(reader, &sample, &image, &err), &err);
        assert_ok(rq_reader_decode_mask(reader, &sample, &mask, &err), &err);
        for (int v = 0; v < 3; v++) {
            const rq_view_params *p = &b->params[v * b->images + i];
            const size_t bytes =
                (size_t)b->group[p->group].size * 3 * (size_t)b->group[p->group].size;
            masked += p->masked;
            assert_int_equal(p->key.sample, sample.id);
            assert_ok(rq_view_make(maker, &image, &mask, p, again, &err), &err);
            assert_memory_equal(again,
                                b->group[p->group].data +
                                    (size_t)(p->view_in_group * b->images + i) * bytes,
                                bytes);
        }
    }
    assert_true(masked > 0 && masked < 2 * BATCH);
    rq_view_maker_destroy(&maker);
    rq_reader_destroy(&reader);
    rq_image_free(&image);
    rq_image_free(&mask);
    finish(&e);
}

/* ---- masks ----------------------------------------------------------------------------- */

static void missing_masks_are_an_error_unless_allowed(void **state)
{
    static hash_list a, b;
    setup s = setup_default();
    s.dataset = "plain";
    rq_dataset *ds;
    rq_stream *stream;
    rq_err err = {0};
    assert_ok(rq_dataset_open(&ds, s.dataset, &err), &err);
    assert_status(rq_stream_open(&stream, ds, &s.recipe, &s.o, &err), RQ_INVALID_ARG);
    assert_null(stream);
    assert_non_null(strstr(err.text, "23 of 23"));
    rq_dataset_close(&ds);
    s.o.allow_missing_masks = true;
    run(&s, a);
    // Without masks at hand, and with masks that are never used: the same bytes.
    s.recipe.p_mask = 0;
    s.o.allow_missing_masks = false;
    run(&s, b);
    for (int i = 0; i < 2 * STEPS; i++)
        assert_string_equal(a[i], b[i]);
    s.dataset = "masked";
    run(&s, b);
    for (int i = 0; i < 2 * STEPS; i++)
        assert_string_equal(a[i], b[i]);
    s.recipe.p_mask = 1;
    run(&s, b);
    for (int i = 0; i < 2 * STEPS; i++)
        assert_string_not_equal(a[i], b[i]);
}

/* ---- damage ---------------------------------------------------------------------------- */

/* Inverts a byte inside the frame of a place; doing it again repairs it. */
static void invert_byte(const char *dataset, uint64_t place)
{
    rq_dataset *ds;
    rq_err err = {0};
    uint8_t byte = 0;
    char path[512];
    int shard = 0;
    assert_ok(rq_dataset_open(&ds, dataset, &err), &err);
    const rq_index_entry *e = rq_dataset_entry(ds, place, &shard);
    const off_t at = (off_t)(e->offset + e->stored_bytes / 2);
    snprintf(path, sizeof path, "%s/%s", dataset, rq_dataset_shard_name(ds, shard));
    const int fd = open(path, O_RDWR);
    assert_true(fd >= 0 && pread(fd, &byte, 1, at) == 1);
    byte = (uint8_t)~byte;
    assert_true(pwrite(fd, &byte, 1, at) == 1 && close(fd) == 0);
    rq_dataset_close(&ds);
}

static void damage_is_replaced_within_the_budget(void **state)
{
    static hash_list first, again;
    setup s = setup_default();
    s.o.drop_last = false;
    s.o.epochs = 1;
    const uint64_t ticket = 6, bad = rq_order_place(17, 0, IMAGES, ticket),
                   next = rq_order_place(17, 0, IMAGES, ticket + 1);
    invert_byte("masked", bad);
    s.o.bad_budget = 1;
    const int threads[] = {1, 2, 7};
    for (int t = 0; t < 3; t++) {
        s.o.threads = threads[t];
        run(&s, t == 0 ? first : again);
        for (int i = 0; t > 0 && i < SHORT_STEPS; i++)
            assert_string_equal(again[i], first[i]);
    }
    session e = begin(&s);
    const rq_batch *b;
    rq_err err = {0};
    for (uint64_t n = 0; n < IMAGES;) {
        assert_ok(rq_stream_next(e.stream, &b, &err), &err);
        for (int i = 0; i < b->images; i++, n++) {
            // Places are ids here: one source, nothing rejected.
            const uint64_t place = rq_order_place(17, 0, IMAGES, n);
            assert_int_equal(b->ids[i], n == ticket ? next : place);
        }
        rq_stream_release(e.stream, b);
    }
    assert_int_equal(rq_stream_get_stats(e.stream).bad_samples, 1);
    finish(&e);
    invert_byte("masked", bad);
}

/* Runs until it fails; the number of good batches and the error. */
static int run_to_error(const setup *s, rq_err *err)
{
    session e = begin(s);
    const rq_batch *b;
    int n = 0;
    rq_status st;
    while ((st = rq_stream_next(e.stream, &b, err)) == RQ_OK) {
        rq_stream_release(e.stream, b);
        n++;
    }
    rq_err second = {0};
    assert_status(rq_stream_next(e.stream, &b, &second), st);
    assert_null(b);
    assert_string_equal(second.text, err->text);
    finish(&e);
    return n;
}

static void of_two_in_a_batch_the_first_is_named(void **state)
{
    setup s = setup_default();
    const uint64_t a = rq_order_place(17, 0, IMAGES, 9), b = rq_order_place(17, 0, IMAGES, 11);
    invert_byte("masked", a);
    invert_byte("masked", b);
    char place[32];
    snprintf(place, sizeof place, "place %d:", (int)a);
    for (s.o.threads = 1; s.o.threads <= 4; s.o.threads++) {
        rq_err err = {0};
        assert_int_equal(run_to_error(&s, &err), 2);
        assert_non_null(strstr(err.text, place));
    }
    invert_byte("masked", a);
    invert_byte("masked", b);
}

static void beyond_the_budget_the_error_comes_out_in_order(void **state)
{
    setup s = setup_default();
    s.o.drop_last = false;
    s.o.epochs = 1;
    const uint64_t a = rq_order_place(17, 0, IMAGES, 9), b = rq_order_place(17, 0, IMAGES, 18);
    invert_byte("masked", a);
    invert_byte("masked", b);
    char place[32];
    for (int threads = 1; threads <= 7; threads += 3) {
        s.o.threads = threads;
        s.o.slots = 5;
        s.o.bad_budget = 0;
        rq_err err = {0};
        assert_int_equal(run_to_error(&s, &err), 2); // ticket 9 is in batch 2
        assert_status(err.status, RQ_BAD_CHECKSUM);
        snprintf(place, sizeof place, "place %d", (int)a);
        assert_non_null(strstr(err.text, place));
        s.o.bad_budget = 1;
        rq_err_clear(&err);
        assert_int_equal(run_to_error(&s, &err), 4); // ticket 18 is in batch 4
        snprintf(place, sizeof place, "place %d", (int)b);
        assert_non_null(strstr(err.text, place));
        assert_non_null(strstr(err.text, "more than 1"));
    }
    invert_byte("masked", a);
    invert_byte("masked", b);
}

/* ---- the consumer's side --------------------------------------------------------------- */

static void a_stream_closes_at_any_moment(void **state)
{
    setup s = setup_default();
    s.o.epochs = 0;
    for (int i = 0; i < 100; i++) {
        s.o.threads = 1 + i % 4;
        session e = begin(&s);
        const rq_batch *b;
        rq_err err = {0};
        for (int k = 0; k < i % 4; k++) {
            assert_ok(rq_stream_next(e.stream, &b, &err), &err);
            if (k + 1 < i % 4 || i % 8 < 4) // sometimes one is still held
                rq_stream_release(e.stream, b);
        }
        finish(&e);
    }
}

static void holding_every_slot_is_said_not_waited_for(void **state)
{
    setup s = setup_default();
    s.o.slots = 3;
    session e = begin(&s);
    const rq_batch *b[3], *more;
    char hex[3][RQ_SHA256_HEX], now[RQ_SHA256_HEX];
    rq_err err = {0};
    for (int i = 0; i < 3; i++) {
        assert_ok(rq_stream_next(e.stream, &b[i], &err), &err);
        hash_batch(b[i], hex[i]);
    }
    assert_status(rq_stream_next(e.stream, &more, &err), RQ_INVALID_ARG);
    for (int i = 0; i < 3; i++) { // what is held stays as it is
        hash_batch(b[i], now);
        assert_string_equal(now, hex[i]);
    }
    for (int i = 2; i >= 0; i--)
        rq_stream_release(e.stream, b[i]);
    rq_err_clear(&err);
    assert_ok(rq_stream_next(e.stream, &more, &err), &err);
    assert_int_equal(more->position.step, 3);
    finish(&e);
}

static void impossible_options_are_refused(void **state)
{
    rq_dataset *ds;
    rq_stream *stream;
    rq_err err = {0};
    assert_ok(rq_dataset_open(&ds, "masked", &err), &err);
    for (int i = 0; i < 8; i++) {
        setup s = setup_default();
        rq_stream_opts *o = &s.o;
        if (i == 0)
            o->batch = 0;
        else if (i == 1)
            o->slots = 1;
        else if (i == 2)
            o->rank = 1;
        else if (i == 3)
            o->world = 3; // of a batch of 4
        else if (i == 4)
            o->threads = -1;
        else if (i == 5)
            o->start.step = STEPS + 1;
        else if (i == 6)
            o->batch = IMAGES + 1;
        else
            s.recipe.p_flip = 2;
        rq_err_clear(&err);
        assert_status(rq_stream_open(&stream, ds, &s.recipe, o, &err), RQ_INVALID_ARG);
        assert_null(stream);
        assert_true(strlen(err.text) > 20);
    }
    rq_dataset_close(&ds);
}

typedef struct counter {
    int allocated, freed;
} counter;

static void *counting_alloc(void *cookie, size_t bytes)
{
    ((counter *)cookie)->allocated++;
    return rq_alloc(bytes, 1);
}

static void counting_free(void *cookie, void *ptr)
{
    ((counter *)cookie)->freed++;
    rq_free(ptr);
}

static void slots_come_from_the_consumer_and_batches_allocate_nothing(void **state)
{
    counter c = {0};
    setup s = setup_default();
    s.o.allocator = (rq_allocator){&c, counting_alloc, counting_free};
    s.o.threads = 1;
    s.o.slots = 4;
    s.o.epochs = 0;
    session e = begin(&s);
    const rq_batch *b;
    rq_err err = {0};
    assert_int_equal(c.allocated, 4);
    for (int i = 0; i < 12 * STEPS; i++) {
        assert_ok(rq_stream_next(e.stream, &b, &err), &err);
        rq_stream_release(e.stream, b);
        if (i == 8 * STEPS)
            rq_mem_fail_nth(1); // from here on an allocation fails, and with it a batch
    }
    rq_mem_fail_nth(0);
    const rq_stream_stats stats = rq_stream_get_stats(e.stream);
    assert_int_equal(stats.batches, 12 * STEPS);
    assert_int_equal(stats.images, 12 * STEPS * BATCH);
    assert_true(stats.images_made >= stats.images && stats.views_ns > 0);
    assert_true(stats.memory_bytes > 4 * BATCH * (2 * 24 * 24 + 16 * 16) * 3);
    assert_int_equal(c.allocated, 4);
    finish(&e);
    assert_int_equal(c.freed, 4);
}

static void an_open_that_runs_out_of_memory_leaves_nothing(void **state)
{
    rq_dataset *ds;
    rq_stream *stream;
    setup s = setup_default();
    rq_err err = {0};
    assert_ok(rq_dataset_open(&ds, "masked", &err), &err);
    rq_status st = RQ_OOM;
    int n = 1;
    for (; n < 200; n++) {
        rq_err_clear(&err);
        rq_mem_fail_nth(n);
        st = rq_stream_open(&stream, ds, &s.recipe, &s.o, &err);
        rq_mem_fail_nth(0);
        if (st == RQ_OK)
            break;
        assert_status(st, RQ_OOM);
        assert_null(stream);
    }
    assert_true(n > 10 && st == RQ_OK);
    rq_stream_close(&stream);
    rq_dataset_close(&ds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_do_not_depend_on_threads_or_slots),
        cmocka_unit_test(a_stream_resumes_at_every_step),
        cmocka_unit_test(another_seed_gives_other_bytes),
        cmocka_unit_test(ranks_together_are_the_whole_batch),
        cmocka_unit_test(every_sample_comes_once_per_epoch),
        cmocka_unit_test(parameters_reproduce_the_bytes),
        cmocka_unit_test(missing_masks_are_an_error_unless_allowed),
        cmocka_unit_test(damage_is_replaced_within_the_budget),
        cmocka_unit_test(of_two_in_a_batch_the_first_is_named),
        cmocka_unit_test(beyond_the_budget_the_error_comes_out_in_order),
        cmocka_unit_test(a_stream_closes_at_any_moment),
        cmocka_unit_test(holding_every_slot_is_said_not_waited_for),
        cmocka_unit_test(impossible_options_are_refused),
        cmocka_unit_test(slots_come_from_the_consumer_and_batches_allocate_nothing),
        cmocka_unit_test(an_open_that_runs_out_of_memory_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, make_datasets, test_remove_temp_dir);
}
