"""Gets tokens by client_credentials with a library that offkey's authors did
not write.

stdin: {library, audience, claims, issuer, client, scope, resource, key (PEM), alg, kid}
stdout: {"tokens": [...]} of two requests, or of those before a refusal with
the refusal beside them: {"tokens": [...], "error": ..., "error_description": ...}.
"""
import json
import os
import sys

ask = json.load(sys.stdin)
endpoint = ask['issuer'] + '/token'


def authlib():
    os.environ['AUTHLIB_INSECURE_TRANSPORT'] = '1'  # the tests' issuer is on loopback
    from authlib.integrations.base_client import OAuthError
    from authlib.integrations.requests_client import OAuth2Session
    from authlib.oauth2.rfc7523 import PrivateKeyJWT
    from joserfc.jwk import import_key

    key = import_key(ask['key'], {'OKP': 'OKP'}.get(ask['alg'], 'EC'))
    session = OAuth2Session(ask['client'], key, token_endpoint_auth_method='private_key_jwt', scope=ask['scope'])
    session.register_client_auth_method(
        PrivateKeyJWT(endpoint, claims=ask.get('claims'), headers={'kid': ask['kid']}, alg=ask['alg']))

    def request():
        try:
            return session.fetch_token(endpoint, grant_type='client_credentials', resource=ask['resource'])
        except OAuthError as refused:
            return {'error': refused.error, 'error_description': refused.description}

    return request


def requests_oauth2client():
    from jwskate import Jwk
    from requests_oauth2client import OAuth2Client, PrivateKeyJwt
    from requests_oauth2client.exceptions import EndpointError

    key = Jwk.from_pem(ask['key'], kid=ask['kid'])
    auth = PrivateKeyJwt(ask['client'], key, alg=ask['alg'], aud=ask.get('audience'))
    client = OAuth2Client(endpoint, auth=auth, issuer=ask['issuer'], testing=True)

    def request():
        try:
            return client.client_credentials(scope=ask['scope'], resource=ask['resource']).as_dict()
        except EndpointError as refused:
            return {'error': refused.error, 'error_description': refused.description}

    return request


request = {'Authlib': authlib, 'requests_oauth2client': requests_oauth2client}[ask['library']]()
answer = {'tokens': []}
for _ in range(2):
    got = request()
    if 'error' in got:
        answer.update(got)
        break
    answer['tokens'].append({name: got.get(name) for name in ('access_token', 'token_type', 'scope')})
json.dump(answer, sys.stdout)
