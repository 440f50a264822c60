package modshare

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7"
)

// check writes an object in all the ways that sharing needs, once. Only a server that
// keeps to the conditions can tell replicas who is first.
func (b *bucket) check(ctx context.Context) error {
	b.checking.Lock()
	defer b.checking.Unlock()
	if b.checked.Load() {
		return nil
	}
	if r := b.refused.Load(); r != nil {
		return r
	}
	var verdict error
	err := b.bare(ctx, b.limits.Op, func(ctx context.Context) error {
		name := "probe/" + rand.Text()
		verdict = b.tryConditions(ctx, name)
		if err := b.core.RemoveObject(ctx, b.name, b.prefix+name, minio.RemoveObjectOptions{}); verdict == nil {
			return err
		}
		return verdict
	})
	if err == nil {
		b.checked.Store(true)
		return nil
	}
	r := b.refusal(err)
	if r == nil {
		return err
	}
	b.refused.Store(r)
	if b.opening {
		return r
	}
	b.log.Error("the object store cannot be used: files are fetched without sharing them", "reason", string(r.Reason), "error", r.Err.Error())
	return r
}

var (
	errPassedOver = errors.New("the server passes over the conditions of writes")
	errOtherBytes = errors.New("the server returned other bytes than were written")
)

func (b *bucket) tryConditions(ctx context.Context, name string) error {
	etag, err := b.write(ctx, name, []byte("1"), b.when(absent))
	if err != nil {
		return err
	}
	if data, _, err := b.read(ctx, name); err != nil || string(data) != "1" {
		return errors.Join(err, errOtherBytes)
	}
	if b.unconditional {
		return nil
	}
	if _, err := b.write(ctx, name, []byte("2"), absent); !errors.Is(meaning(err), errTaken) {
		return passedOver(err)
	}
	if _, err := b.write(ctx, name, []byte("3"), unchanged("00000000000000000000000000000000")); !errors.Is(meaning(err), errTaken) {
		return passedOver(err)
	}
	_, err = b.write(ctx, name, []byte("4"), unchanged(etag))
	if errors.Is(meaning(err), errTaken) {
		return errPassedOver
	}
	return err
}

func passedOver(err error) error {
	var answer minio.ErrorResponse
	if err == nil || errors.As(err, &answer) && (answer.StatusCode == http.StatusNotImplemented || answer.StatusCode == http.StatusBadRequest) {
		return errPassedOver
	}
	return err
}

// refusal tells what will not get better by itself; nil for the rest.
func (b *bucket) refusal(err error) *Refusal {
	var answer minio.ErrorResponse
	reason := Other
	switch {
	case errors.Is(err, errPassedOver):
		reason = Unconditional
	case errors.Is(err, errOtherBytes), errors.Is(err, fs.ErrNotExist):
	case !errors.As(err, &answer) || answer.StatusCode >= http.StatusInternalServerError || answer.StatusCode == http.StatusTooManyRequests:
		return nil
	case answer.Code == "NoSuchBucket":
		reason = NoBucket
	case answer.Code == "InvalidAccessKeyId", answer.Code == "SignatureDoesNotMatch", answer.Code == "InvalidToken", answer.Code == "ExpiredToken", answer.Code == "InvalidClientTokenId", strings.HasSuffix(answer.Code, "UserNotFound"):
		reason = WrongCredentials
	case answer.Code == "AuthorizationHeaderMalformed", answer.StatusCode == http.StatusMovedPermanently, answer.StatusCode == http.StatusTemporaryRedirect:
		reason = WrongRegion
	case answer.StatusCode == http.StatusForbidden, answer.StatusCode == http.StatusUnauthorized:
		reason = Denied
	}
	if answer.Code != "" {
		err = fmt.Errorf("%s: %s", answer.Code, answer.Message)
	}
	return &Refusal{Reason: reason, Bucket: b.shown, Err: err}
}
