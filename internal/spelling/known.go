package spelling

import (
	"strings"
	"sync"
)

// The lists below are short on purpose: names that most people have seen, so that a
// slip of the hand can be told from a name of its own. They say nothing of quality. To
// add one, put it into its list; a name must have been published under exactly that
// spelling.

// Modules are well-known modules of Go, without major suffixes.
func Modules() []string { return modules() }

var modules = sync.OnceValue(func() []string {
	return strings.Fields(`
cloud.google.com/go dario.cat/mergo filippo.io/age go.etcd.io/bbolt go.etcd.io/etcd/client go.mongodb.org/mongo-driver
go.opentelemetry.io/otel go.uber.org/atomic go.uber.org/automaxprocs go.uber.org/fx go.uber.org/goleak go.uber.org/mock
go.uber.org/multierr go.uber.org/zap go.yaml.in/yaml golang.org/x/arch golang.org/x/crypto golang.org/x/exp
golang.org/x/image golang.org/x/lint golang.org/x/mod golang.org/x/net golang.org/x/oauth2 golang.org/x/perf
golang.org/x/sync golang.org/x/sys golang.org/x/telemetry golang.org/x/term golang.org/x/text golang.org/x/time
golang.org/x/tools golang.org/x/vuln gonum.org/v1/gonum google.golang.org/api google.golang.org/genai
google.golang.org/genproto google.golang.org/grpc google.golang.org/protobuf gopkg.in/check.v1 gopkg.in/inf.v0
gopkg.in/ini.v1 gopkg.in/natefinch/lumberjack.v2 gopkg.in/yaml.v2 gopkg.in/yaml.v3 gorm.io/driver/mysql
gorm.io/driver/postgres gorm.io/driver/sqlite gorm.io/gorm gotest.tools honnef.co/go/tools k8s.io/api
k8s.io/apimachinery k8s.io/client-go k8s.io/klog k8s.io/kubectl k8s.io/utils modernc.org/sqlite
sigs.k8s.io/controller-runtime sigs.k8s.io/yaml
github.com/Azure/azure-sdk-for-go github.com/BurntSushi/toml github.com/DATA-DOG/go-sqlmock github.com/IBM/sarama
github.com/Masterminds/semver github.com/Masterminds/sprig github.com/Masterminds/squirrel github.com/Microsoft/go-winio
github.com/PuerkitoBio/goquery github.com/ProtonMail/go-crypto github.com/alecthomas/chroma github.com/alecthomas/kong
github.com/alicebob/miniredis github.com/andybalholm/brotli github.com/aws/aws-lambda-go github.com/aws/aws-sdk-go
github.com/aws/aws-sdk-go-v2 github.com/beego/beego github.com/bits-and-blooms/bitset github.com/blang/semver
github.com/bmatcuk/doublestar github.com/bufbuild/buf github.com/caarlos0/env github.com/cenkalti/backoff
github.com/cespare/xxhash github.com/charmbracelet/bubbles github.com/charmbracelet/bubbletea
github.com/charmbracelet/lipgloss github.com/cilium/ebpf github.com/cockroachdb/errors github.com/containerd/containerd
github.com/coreos/go-oidc github.com/davecgh/go-spew github.com/dgraph-io/badger github.com/docker/cli
github.com/docker/docker github.com/docker/go-units github.com/dustin/go-humanize github.com/elastic/go-elasticsearch
github.com/emicklei/go-restful github.com/envoyproxy/go-control-plane github.com/evanphx/json-patch github.com/fatih/color
github.com/fatih/structs github.com/fogleman/gg github.com/fsnotify/fsnotify github.com/gin-contrib/cors
github.com/gin-gonic/gin github.com/glebarez/sqlite github.com/go-chi/chi github.com/go-chi/cors github.com/go-git/go-git
github.com/go-kit/kit github.com/go-kit/log github.com/go-ldap/ldap github.com/go-logr/logr github.com/go-openapi/spec
github.com/go-playground/validator github.com/go-redis/redis github.com/go-resty/resty github.com/go-sql-driver/mysql
github.com/go-viper/mapstructure github.com/goccy/go-json github.com/goccy/go-yaml github.com/gocql/gocql
github.com/gofiber/fiber github.com/gofrs/flock github.com/gofrs/uuid github.com/gogo/protobuf
github.com/golang-jwt/jwt github.com/golang-migrate/migrate github.com/golang/glog github.com/golang/groupcache
github.com/golang/mock github.com/golang/protobuf github.com/golang/snappy github.com/google/go-cmp
github.com/google/go-github github.com/google/go-querystring github.com/google/gopacket github.com/google/pprof
github.com/google/uuid github.com/google/wire github.com/gorilla/handlers github.com/gorilla/mux github.com/gorilla/schema
github.com/gorilla/securecookie github.com/gorilla/sessions github.com/gorilla/websocket github.com/grafana/sarama
github.com/graphql-go/graphql github.com/grpc-ecosystem/go-grpc-middleware github.com/grpc-ecosystem/grpc-gateway
github.com/hashicorp/consul/api github.com/hashicorp/go-multierror github.com/hashicorp/go-plugin
github.com/hashicorp/go-retryablehttp github.com/hashicorp/go-version github.com/hashicorp/golang-lru
github.com/hashicorp/hcl github.com/hashicorp/raft github.com/hashicorp/terraform-plugin-sdk github.com/hashicorp/vault/api
github.com/huandu/xstrings github.com/imdario/mergo github.com/influxdata/influxdb-client-go github.com/jackc/pgx
github.com/jinzhu/copier github.com/jinzhu/gorm github.com/jmoiron/sqlx github.com/joho/godotenv
github.com/json-iterator/go github.com/julienschmidt/httprouter github.com/kelseyhightower/envconfig
github.com/klauspost/compress github.com/knadh/koanf github.com/labstack/echo github.com/lestrrat-go/jwx github.com/lib/pq
github.com/magefile/mage github.com/mailru/easyjson github.com/mattn/go-colorable github.com/mattn/go-isatty
github.com/mattn/go-runewidth github.com/mattn/go-sqlite3 github.com/miekg/dns github.com/minio/minio-go
github.com/mitchellh/go-homedir github.com/mitchellh/mapstructure github.com/moby/buildkit github.com/nats-io/nats-server
github.com/nats-io/nats.go github.com/olekukonko/tablewriter github.com/olivere/elastic github.com/onsi/ginkgo
github.com/onsi/gomega github.com/opencontainers/image-spec github.com/opencontainers/runc github.com/ory/dockertest
github.com/panjf2000/ants github.com/patrickmn/go-cache github.com/pelletier/go-toml github.com/pkg/errors
github.com/pkg/profile github.com/pkg/sftp github.com/pmezard/go-difflib github.com/pressly/goose
github.com/prometheus/client_golang github.com/prometheus/client_model github.com/prometheus/common
github.com/prometheus/procfs github.com/prometheus/prometheus github.com/pterm/pterm github.com/rabbitmq/amqp091-go
github.com/redis/go-redis github.com/robfig/cron github.com/rs/cors github.com/rs/zerolog github.com/russross/blackfriday
github.com/samber/lo github.com/santhosh-tekuri/jsonschema github.com/segmentio/kafka-go github.com/sergi/go-diff
github.com/shirou/gopsutil github.com/shopspring/decimal github.com/sirupsen/logrus github.com/smartystreets/goconvey
github.com/sourcegraph/conc github.com/spf13/afero github.com/spf13/cast github.com/spf13/cobra github.com/spf13/pflag
github.com/spf13/viper github.com/stretchr/objx github.com/stretchr/testify github.com/swaggo/swag
github.com/tealeg/xlsx github.com/testcontainers/testcontainers-go github.com/tidwall/gjson github.com/tidwall/sjson
github.com/ulikunitz/xz github.com/uptrace/bun github.com/urfave/cli github.com/urfave/negroni github.com/valyala/fasthttp
github.com/valyala/fastjson github.com/vektah/gqlparser github.com/vishvananda/netlink github.com/xanzy/go-gitlab
github.com/xeipuuv/gojsonschema github.com/xuri/excelize github.com/yuin/goldmark github.com/yuin/gopher-lua
github.com/zeebo/xxh3 gitlab.com/gitlab-org/api/client-go code.gitea.io/sdk/gitea
`)
})

// Successors are modules that their owners gave another path, where the new one has been
// in use for years. Both are without what follows.
func Successors() map[string]string { return successors() }

var successors = sync.OnceValue(func() map[string]string {
	return pairs(`
github.com/Sirupsen/logrus github.com/sirupsen/logrus
github.com/codegangsta/cli github.com/urfave/cli
github.com/codegangsta/negroni github.com/urfave/negroni
github.com/coreos/bbolt go.etcd.io/bbolt
github.com/boltdb/bolt go.etcd.io/bbolt
github.com/dgrijalva/jwt-go github.com/golang-jwt/jwt/v4
github.com/go-redis/redis/v8 github.com/redis/go-redis/v9
github.com/go-redis/redis/v9 github.com/redis/go-redis/v9
github.com/golang/lint golang.org/x/lint
github.com/golang/protobuf google.golang.org/protobuf
github.com/grpc/grpc-go google.golang.org/grpc
github.com/imdario/mergo dario.cat/mergo
github.com/kubernetes/client-go k8s.io/client-go
github.com/kubernetes/apimachinery k8s.io/apimachinery
github.com/kubernetes/api k8s.io/api
github.com/mitchellh/mapstructure github.com/go-viper/mapstructure/v2
github.com/mongodb/mongo-go-driver go.mongodb.org/mongo-driver
github.com/Shopify/sarama github.com/IBM/sarama
github.com/streadway/amqp github.com/rabbitmq/amqp091-go
github.com/uber-go/zap go.uber.org/zap
github.com/uber-go/atomic go.uber.org/atomic
github.com/uber-go/fx go.uber.org/fx
github.com/uber-go/multierr go.uber.org/multierr
github.com/xanzy/go-gitlab gitlab.com/gitlab-org/api/client-go
github.com/go-gorm/gorm gorm.io/gorm
github.com/go-yaml/yaml gopkg.in/yaml.v3
github.com/open-telemetry/opentelemetry-go go.opentelemetry.io/otel
github.com/satori/go.uuid github.com/gofrs/uuid
github.com/golang/mock go.uber.org/mock
`)
})

// Hosts are well-known hosts of modules of Go.
func Hosts() []string { return hosts() }

var hosts = sync.OnceValue(func() []string {
	return strings.Fields(`github.com gitlab.com bitbucket.org codeberg.org gitee.com gitea.com git.sr.ht golang.org
google.golang.org gopkg.in go.uber.org go.etcd.io go.opentelemetry.io go.mongodb.org k8s.io sigs.k8s.io gorm.io
cloud.google.com gonum.org modernc.org honnef.co filippo.io`)
})

// NpmPackages are well-known packages of npm.
func NpmPackages() []string { return npmPackages() }

var npmPackages = sync.OnceValue(func() []string {
	return strings.Fields(`
ajv angular async autoprefixer axios babel-core babel-jest bluebird body-parser bootstrap chai chalk cheerio chokidar
classnames colors commander concurrently cookie-parser core-js cors cross-env cross-spawn d3 date-fns dayjs debug dotenv
ejs electron enzyme esbuild eslint eslint-config-prettier eslint-plugin-import eslint-plugin-react express fastify
formik fs-extra glob graphql grunt gulp handlebars helmet http-proxy-middleware husky immutable inquirer ioredis
isomorphic-fetch jest jquery js-yaml jsdom jsonwebtoken karma knex koa left-pad lerna lint-staged lodash lodash.debounce
lodash.merge luxon mime minimatch minimist mkdirp mocha moment mongodb mongoose morgan multer mysql2 nanoid next
node-fetch node-sass nodemailer nodemon normalize.css nuxt nyc ora passport path-to-regexp pg pino playwright postcss
prettier prisma prop-types puppeteer qs ramda react react-dom react-redux react-router react-router-dom react-scripts
readable-stream redis redux redux-thunk request reselect rimraf rollup rxjs sass sass-loader semver sequelize sharp
shelljs sinon socket.io socket.io-client sqlite3 style-loader styled-components supertest svelte tailwindcss terser
three through2 ts-jest ts-loader ts-node tslib tslint tsx typeorm typescript uglify-js underscore undici uuid validator
vite vitest vue vue-loader vue-router vuex webpack webpack-cli webpack-dev-server winston ws yargs zod zustand
@angular/cli @angular/core @babel/cli @babel/core @babel/preset-env @babel/preset-react @babel/preset-typescript
@emotion/react @mui/material @nestjs/common @nestjs/core @reduxjs/toolkit @types/jest @types/lodash @types/node
@types/react @types/react-dom @typescript-eslint/eslint-plugin @typescript-eslint/parser @vitejs/plugin-react @vue/cli
@vue/compiler-sfc
`)
})

// NpmSuccessors are packages of npm that their owners gave another name.
func NpmSuccessors() map[string]string { return npmSuccessors() }

var npmSuccessors = sync.OnceValue(func() map[string]string {
	return pairs(`
babel-cli @babel/cli
babel-core @babel/core
babel-preset-env @babel/preset-env
babel-preset-react @babel/preset-react
babel-preset-typescript @babel/preset-typescript
babel-eslint @babel/eslint-parser
vue-cli @vue/cli
angular-cli @angular/cli
material-ui @mui/material
@material-ui/core @mui/material
node-sass sass
react-scripts-ts react-scripts
eslint-plugin-typescript @typescript-eslint/eslint-plugin
typescript-eslint-parser @typescript-eslint/parser
`)
})

// PyPIProjects are well-known projects of the Python package index, normalised.
func PyPIProjects() []string { return pypiProjects() }

var pypiProjects = sync.OnceValue(func() []string {
	return strings.Fields(`
aiohttp alembic altair ansible anyio apache-airflow argcomplete arrow asyncpg attrs azure-storage-blob babel bcrypt
beautifulsoup4 black bokeh boto3 botocore cachetools celery certifi cffi chardet charset-normalizer click cloudpickle
colorama coverage cryptography cython dask databricks-sdk django django-cors-headers djangorestframework docker
docutils elasticsearch fabric fastapi filelock flake8 flask flask-cors flask-login flask-migrate flask-sqlalchemy
fonttools gevent gitpython google-api-python-client google-auth google-cloud-storage greenlet grpcio grpcio-tools
gunicorn h5py httpx huggingface-hub hypothesis idna importlib-metadata ipykernel ipython isort itsdangerous jinja2 joblib
jsonschema jupyter jupyterlab keras kubernetes langchain lightgbm lxml markdown markupsafe matplotlib mkdocs mock
msgpack mypy mysqlclient networkx nltk notebook numba numpy oauthlib openai opencv-python openpyxl orjson packaging
pandas paramiko pendulum pillow pip pip-tools platformdirs playwright plotly pluggy poetry polars pre-commit prompt-toolkit
protobuf psutil psycopg2 psycopg2-binary pyarrow pyasn1 pycparser pycryptodome pydantic pygments pyjwt pylint pymongo
pymysql pynacl pyopenssl pyparsing pyqt5 pyserial pyspark pytest pytest-asyncio pytest-cov pytest-mock pytest-xdist
python-dateutil python-docx python-dotenv python-multipart pytorch-lightning pytz pywin32 pyyaml pyzmq redis regex
requests requests-oauthlib rich ruff s3fs s3transfer scikit-image scikit-learn scipy seaborn selenium sentry-sdk
setuptools shapely simplejson six sphinx sqlalchemy starlette statsmodels streamlit sympy tabulate tenacity tensorflow
toml tomli torch torchvision tornado tox tqdm transformers twine typer typing-extensions tzdata urllib3 uvicorn uvloop
virtualenv watchdog websocket-client websockets werkzeug wheel wrapt xgboost xlrd xlsxwriter yarl zipp
`)
})

// PyPIImports are names that are imported, and the project that brings them under
// another name.
func PyPIImports() map[string]string { return pypiImports() }

var pypiImports = sync.OnceValue(func() map[string]string {
	return pairs(`
attr attrs
bs4 beautifulsoup4
crypto pycryptodome
cv2 opencv-python
dateutil python-dateutil
docx python-docx
dotenv python-dotenv
git gitpython
jwt pyjwt
mysqldb mysqlclient
pil pillow
pkg-resources setuptools
serial pyserial
skimage scikit-image
sklearn scikit-learn
win32api pywin32
win32con pywin32
yaml pyyaml
zmq pyzmq
`)
})

// pairs reads lines of two words.
func pairs(text string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) == 2 {
			m[f[0]] = f[1]
		}
	}
	return m
}
