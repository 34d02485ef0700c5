/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Golden bytes and JSON of the v1 scheduler and executor APIs. The bytes were serialised by protobuf 21.12 (Python) from the
 * .proto files of Apache Mesos 1.12-dev (c1b42f79), not from ours; the JSON is what that message reads as in Mesos' mapping,
 * fields in the order of their numbers. Quotes are single ones here.
 */
#include "net/pb_json.h"
#include "net/pb_json_int.h"
#include "net/pb_util.h"
#include "tests/lib/test.h"

struct golden {
	const char *name;
	const struct pb_json_type *type;
	const char *hex, *json;
};

static const struct golden goldens[] = {
	/* ---- scheduler: Call ---- */
	{ "subscribe", &mesos_v1_scheduler_Call_json,
	  "10011a6a0a5e0a04726f6f7412086d61726174686f6e21000000000075224128013a026d31420d64636f735f6d617261"
	  "74686f6e4a0e687474703a2f2f6d313a383038305202080552020806620c736c6176655f7075626c6963620870726f64"
	  "2f776562120870726f642f776562",
	  "{'type':'SUBSCRIBE','subscribe':{'framework_info':{'user':'root','name':'marathon',"
	  "'failover_timeout':604800.0,'checkpoint':true,'hostname':'m1','principal':'dcos_marathon',"
	  "'webui_url':'http://m1:8080','capabilities':[{'type':'PARTITION_AWARE'},{'type':'MULTI_ROLE'}],"
	  "'roles':['slave_public','prod/web']},'suppressed_roles':['prod/web']}}" },
	{ "subscribe_again", &mesos_v1_scheduler_Call_json,
	  "0a0b0a09396131622d3030303010011a7c0a530a04726f6f741201661a0b0a09396131622d3030303021000000000000"
	  "e03f28005a0f0a030a01610a080a01621203c3bc206201726a1c0a017212170a150a130a110a04637075731209097b14"
	  "ae47e17a843f1a250a230a0172121e0a1c0a100a0612047261636b12061a040a0272310a080a02080112021200",
	  "{'framework_id':{'value':'9a1b-0000'},'type':'SUBSCRIBE',"
	  "'subscribe':{'framework_info':{'user':'root','name':'f','id':{'value':'9a1b-0000'},"
	  "'failover_timeout':0.5,'checkpoint':false,'labels':{'labels':[{'key':'a'},{'key':'b',"
	  "'value':'ü '}]},'roles':['r'],"
	  "'offer_filters':{'r':{'min_allocatable_resources':{'quantities':[{'quantities':{'cpus':{'value':0.01}}}]}}}},"
	  "'offer_constraints':{'role_constraints':{'r':{'groups':[{'attribute_constraints':[{'selector':{'attribute_name':'rack'},"
	  "'predicate':{'text_equals':{'value':'r1'}}},{'selector':{'pseudoattribute_type':'HOSTNAME'},"
	  "'predicate':{'not_exists':{}}}]}]}}}}}" },
	{ "accept_launch", &mesos_v1_scheduler_Call_json,
	  "0a0b0a09396131622d30303030100322c2030a090a07396131622d4f3712a903080112a4030aa1030a04736973651208"
	  "0a06736973652e311a090a07396131622d533122230a046370757310001a09099a9999999999b93f5a0e0a0c736c6176"
	  "655f7075626c696322220a036d656d10001a090900000000000050405a0e0a0c736c6176655f7075626c6963221f0a05"
	  "706f727473100122140a080898f2011098f2010a08089df20110a1f2013a510a140a0e687474703a2f2f782f612e7467"
	  "7a18012000122b0a100a05504f5254301205333130303018010a170a034b45591802220e0801120a0a08706174682f6b"
	  "65791a0a736c6565702031303030300142390a0f0898f20112012f1a04687474702801110000000000002e4019000000"
	  "0000004e402100000000000034402803310000000000c0724040024a3f0801120f0a052f6461746112042f7372761802"
	  "1a2a0a076e67696e783a3110021a0b0898f20110501a0374637020002a0c0a04696e697412047472756530015a2f0800"
	  "12047369736532250a230898f20112037765621a037463702a130a110a055649505f3012082f736973653a383062080a"
	  "060880e497d0127a100a036d656d120909000000000000f07f1a09090000000000000000",
	  "{'framework_id':{'value':'9a1b-0000'},'type':'ACCEPT',"
	  "'accept':{'offer_ids':[{'value':'9a1b-O7'}],'operations':[{'type':'LAUNCH',"
	  "'launch':{'task_infos':[{'name':'sise','task_id':{'value':'sise.1'},"
	  "'agent_id':{'value':'9a1b-S1'},'resources':[{'name':'cpus','type':'SCALAR',"
	  "'scalar':{'value':0.1},'allocation_info':{'role':'slave_public'}},{'name':'mem','type':'SCALAR',"
	  "'scalar':{'value':64.0},'allocation_info':{'role':'slave_public'}},{'name':'ports',"
	  "'type':'RANGES','ranges':{'range':[{'begin':31000,'end':31000},{'begin':31005,'end':31009}]}}],"
	  "'command':{'uris':[{'value':'http://x/a.tgz','extract':true,'cache':false}],"
	  "'environment':{'variables':[{'name':'PORT0','value':'31000','type':'VALUE'},{'name':'KEY',"
	  "'type':'SECRET','secret':{'type':'REFERENCE','reference':{'name':'path/key'}}}]},"
	  "'value':'sleep 1000','shell':true},'health_check':{'http':{'port':31000,'path':'/',"
	  "'scheme':'http','protocol':'IPv4'},'delay_seconds':15.0,'interval_seconds':60.0,"
	  "'timeout_seconds':20.0,'consecutive_failures':3,'grace_period_seconds':300.0,'type':'HTTP'},"
	  "'container':{'type':'DOCKER','volumes':[{'container_path':'/data','host_path':'/srv',"
	  "'mode':'RO'}],'docker':{'image':'nginx:1','network':'BRIDGE',"
	  "'port_mappings':[{'host_port':31000,'container_port':80,'protocol':'tcp'}],'privileged':false,"
	  "'parameters':[{'key':'init','value':'true'}],'force_pull_image':true}},"
	  "'discovery':{'visibility':'FRAMEWORK','name':'sise','ports':{'ports':[{'number':31000,"
	  "'name':'web','protocol':'tcp','labels':{'labels':[{'key':'VIP_0','value':'/sise:80'}]}}]}},"
	  "'kill_policy':{'grace_period':{'nanoseconds':5000000000}},"
	  "'limits':{'mem':{'value':'Infinity'}}}]}}],'filters':{'refuse_seconds':0.0}}}" },
	{ "accept_reserve_create", &mesos_v1_scheduler_Call_json,
	  "0a0b0a09396131622d30303030100322b0010a090a07396131622d4f370a090a07396131622d4f38122408021a200a1e"
	  "0a046469736b10001a090900000000000060406a090a01701a0264622002124608042a420a400a046469736b10001a09"
	  "0900000000000060403a210a070a02763112017012080a046461746118011a0c08021a080a062f6d6e742f6152006a06"
	  "1a0264622001122a08063a260a070a030a01657801121b0a190a017412030a01741a090a07396131622d533132040001"
	  "02ff",
	  "{'framework_id':{'value':'9a1b-0000'},'type':'ACCEPT',"
	  "'accept':{'offer_ids':[{'value':'9a1b-O7'},{'value':'9a1b-O8'}],'operations':[{'type':'RESERVE',"
	  "'reserve':{'resources':[{'name':'disk','type':'SCALAR','scalar':{'value':128.0},"
	  "'reservations':[{'principal':'p','role':'db','type':'DYNAMIC'}]}]}},{'type':'CREATE',"
	  "'create':{'volumes':[{'name':'disk','type':'SCALAR','scalar':{'value':128.0},"
	  "'disk':{'persistence':{'id':'v1','principal':'p'},'volume':{'container_path':'data',"
	  "'mode':'RW'},'source':{'type':'MOUNT','mount':{'root':'/mnt/a'}}},'shared':{},"
	  "'reservations':[{'role':'db','type':'STATIC'}]}]}},{'type':'LAUNCH_GROUP',"
	  "'launch_group':{'executor':{'executor_id':{'value':'e'},'type':'DEFAULT'},"
	  "'task_group':{'tasks':[{'name':'t','task_id':{'value':'t'},'agent_id':{'value':'9a1b-S1'},"
	  "'data':'AAEC/w=='}]}}}]}}" },
	{ "decline", &mesos_v1_scheduler_Call_json,
	  "0a0b0a09396131622d3030303010042a210a090a07396131622d4f370a090a07396131622d4f38120909000000000000"
	  "5e40",
	  "{'framework_id':{'value':'9a1b-0000'},'type':'DECLINE',"
	  "'decline':{'offer_ids':[{'value':'9a1b-O7'},{'value':'9a1b-O8'}],"
	  "'filters':{'refuse_seconds':120.0}}}" },
	{ "acknowledge", &mesos_v1_scheduler_Call_json,
	  "0a0b0a09396131622d30303030100842270a090a07396131622d533112080a06736973652e311a100001020304050607"
	  "08090a0b0c0d0e0f",
	  "{'framework_id':{'value':'9a1b-0000'},'type':'ACKNOWLEDGE',"
	  "'acknowledge':{'agent_id':{'value':'9a1b-S1'},'task_id':{'value':'sise.1'},"
	  "'uuid':'AAECAwQFBgcICQoLDA0ODw=='}}" },
	{ "kill", &mesos_v1_scheduler_Call_json,
	  "0a0b0a09396131622d303030301006321f0a080a06736973652e3112090a07396131622d53311a080a060880e497d012",
	  "{'framework_id':{'value':'9a1b-0000'},'type':'KILL','kill':{'task_id':{'value':'sise.1'},"
	  "'agent_id':{'value':'9a1b-S1'},'kill_policy':{'grace_period':{'nanoseconds':5000000000}}}}" },
	{ "reconcile", &mesos_v1_scheduler_Call_json,
	  "0a0b0a09396131622d3030303010094a1e0a0a0a080a06736973652e310a100a030a016212090a07396131622d5331",
	  "{'framework_id':{'value':'9a1b-0000'},'type':'RECONCILE',"
	  "'reconcile':{'tasks':[{'task_id':{'value':'sise.1'}},{'task_id':{'value':'b'},"
	  "'agent_id':{'value':'9a1b-S1'}}]}}" },
	{ "teardown", &mesos_v1_scheduler_Call_json,
	  "0a0b0a09396131622d303030301002",
	  "{'framework_id':{'value':'9a1b-0000'},'type':'TEARDOWN'}" },
	{ "revive", &mesos_v1_scheduler_Call_json,
	  "0a0b0a09396131622d3030303010057a030a0172",
	  "{'framework_id':{'value':'9a1b-0000'},'type':'REVIVE','revive':{'roles':['r']}}" },
	{ "message", &mesos_v1_scheduler_Call_json,
	  "0a0b0a09396131622d30303030100a52140a090a07396131622d533112030a01651a026869",
	  "{'framework_id':{'value':'9a1b-0000'},'type':'MESSAGE',"
	  "'message':{'agent_id':{'value':'9a1b-S1'},'executor_id':{'value':'e'},'data':'aGk='}}" },
	/* ---- scheduler: Event ---- */
	{ "subscribed", &mesos_v1_scheduler_Event_json,
	  "080112610a0b0a09396131622d30303030110000000000002e401a490a043961316210ff80800818ba2722156d617374"
	  "6572403132372e302e302e313a353035302a026d313206312e31312e303a120a026d3112093132372e302e302e3118ba"
	  "274a020801",
	  "{'type':'SUBSCRIBED','subscribed':{'framework_id':{'value':'9a1b-0000'},"
	  "'heartbeat_interval_seconds':15.0,'master_info':{'id':'9a1b','ip':16777343,'port':5050,"
	  "'pid':'master@127.0.0.1:5050','hostname':'m1','version':'1.11.0','address':{'hostname':'m1',"
	  "'ip':'127.0.0.1','port':5050},'capabilities':[{'type':'AGENT_UPDATE'}]}}}" },
	{ "offers", &mesos_v1_scheduler_Event_json,
	  "08021a8a020a87020a090a07396131622d4f37120b0a09396131622d303030301a090a07396131622d5331220261312a"
	  "230a046370757310001a09093333333333330f405a0e0a0c736c6176655f7075626c69632a260a05706f727473100122"
	  "180a060881081084110a0e08861110ffffffffffffffffff0132012a2a120a046770757310022a060a01610a01624a00"
	  "32030a01653a0e0a047261636b10032a040a0272313a100a016e10001a0909000000000000f83f42240a046874747012"
	  "110a026131120831302e302e302e3218bb271a092f736c6176652831294a190a0a088080a8b1e39fe7cb17120b08ffff"
	  "ffffffffffffff0152030a01725a100a0e0a040a02657512060a0465752d31",
	  "{'type':'OFFERS','offers':{'offers':[{'id':{'value':'9a1b-O7'},"
	  "'framework_id':{'value':'9a1b-0000'},'agent_id':{'value':'9a1b-S1'},'hostname':'a1',"
	  "'resources':[{'name':'cpus','type':'SCALAR','scalar':{'value':3.9},"
	  "'allocation_info':{'role':'slave_public'}},{'name':'ports','type':'RANGES',"
	  "'ranges':{'range':[{'begin':1025,'end':2180},{'begin':2182,'end':18446744073709551615}]},"
	  "'role':'*'},{'name':'gpus','type':'SET','set':{'item':['a','b']},'revocable':{}}],"
	  "'executor_ids':[{'value':'e'}],'attributes':[{'name':'rack','type':'TEXT',"
	  "'text':{'value':'r1'}},{'name':'n','type':'SCALAR','scalar':{'value':1.5}}],"
	  "'url':{'scheme':'http','address':{'hostname':'a1','ip':'10.0.0.2','port':5051},"
	  "'path':'/slave(1)'},'unavailability':{'start':{'nanoseconds':1700000000000000000},"
	  "'duration':{'nanoseconds':-1}},'allocation_info':{'role':'r'},"
	  "'domain':{'fault_domain':{'region':{'name':'eu'},'zone':{'name':'eu-1'}}}}]}}" },
	{ "update", &mesos_v1_scheduler_Event_json,
	  "08042ac0010abd010a080a06736973652e3110031a00221465786974656420776974682073746174757320312a090a07"
	  "396131622d5331311d736b667399d5413a080a06736973652e314000480250005a10000102030405060708090a0b0c0d"
	  "0e0f6a310a1b2a0b08011207392e302e312e32320464636f733a060898f2011050189221220f0a056368696c6412060a"
	  "04356533667a0708021a0308c8018201240a220a036d656d10001a090900000000000050405a0e0a0c736c6176655f70"
	  "75626c6963",
	  "{'type':'UPDATE','update':{'status':{'task_id':{'value':'sise.1'},'state':'TASK_FAILED',"
	  "'data':'','message':'exited with status 1','agent_id':{'value':'9a1b-S1'},"
	  "'timestamp':1449512345.678901,'executor_id':{'value':'sise.1'},'healthy':false,"
	  "'source':'SOURCE_EXECUTOR','reason':'REASON_COMMAND_EXECUTOR_FAILED',"
	  "'uuid':'AAECAwQFBgcICQoLDA0ODw==',"
	  "'container_status':{'network_infos':[{'ip_addresses':[{'protocol':'IPv4',"
	  "'ip_address':'9.0.1.2'}],'name':'dcos','port_mappings':[{'host_port':31000,"
	  "'container_port':80}]}],'executor_pid':4242,'container_id':{'value':'child',"
	  "'parent':{'value':'5e3f'}}},'check_status':{'type':'HTTP','http':{'status_code':200}},"
	  "'limitation':{'resources':[{'name':'mem','type':'SCALAR','scalar':{'value':64.0},"
	  "'allocation_info':{'role':'slave_public'}}]}}}}" },
	{ "rescind", &mesos_v1_scheduler_Event_json,
	  "0803220b0a090a07396131622d4f37",
	  "{'type':'RESCIND','rescind':{'offer_id':{'value':'9a1b-O7'}}}" },
	{ "failure", &mesos_v1_scheduler_Event_json,
	  "08063a1b0a090a07396131622d533112030a016518ffffffffffffffffff01",
	  "{'type':'FAILURE','failure':{'agent_id':{'value':'9a1b-S1'},'executor_id':{'value':'e'},"
	  "'status':-1}}" },
	{ "error", &mesos_v1_scheduler_Event_json,
	  "080742170a154672616d65776f726b206661696c6564206f766572",
	  "{'type':'ERROR','error':{'message':'Framework failed over'}}" },
	{ "heartbeat", &mesos_v1_scheduler_Event_json,
	  "0808",
	  "{'type':'HEARTBEAT'}" },
	{ "inverse_offers", &mesos_v1_scheduler_Event_json,
	  "08094a2b0a290a090a07396131622d4f391a0b0a09396131622d3030303022090a07396131622d53312a040a020801",
	  "{'type':'INVERSE_OFFERS','inverse_offers':{'inverse_offers':[{'id':{'value':'9a1b-O9'},"
	  "'framework_id':{'value':'9a1b-0000'},'agent_id':{'value':'9a1b-S1'},"
	  "'unavailability':{'start':{'nanoseconds':1}}}]}}" },
	{ "update_operation_status", &mesos_v1_scheduler_Event_json,
	  "080b5a290a270a040a026f7010022a120a10000102030405060708090a0b0c0d0e0f32090a07396131622d5331",
	  "{'type':'UPDATE_OPERATION_STATUS',"
	  "'update_operation_status':{'status':{'operation_id':{'value':'op'},'state':'OPERATION_FINISHED',"
	  "'uuid':{'value':'AAECAwQFBgcICQoLDA0ODw=='},'agent_id':{'value':'9a1b-S1'}}}}" },
	/* ---- executor: Call ---- */
	{ "subscribe", &mesos_v1_executor_Call_json,
	  "0a030a0165120b0a09396131622d303030301801223c0a180a017412080a06736973652e311a090a07396131622d5331"
	  "12200a1e0a080a06736973652e3110015a10000102030405060708090a0b0c0d0e0f",
	  "{'executor_id':{'value':'e'},'framework_id':{'value':'9a1b-0000'},'type':'SUBSCRIBE',"
	  "'subscribe':{'unacknowledged_tasks':[{'name':'t','task_id':{'value':'sise.1'},"
	  "'agent_id':{'value':'9a1b-S1'}}],"
	  "'unacknowledged_updates':[{'status':{'task_id':{'value':'sise.1'},'state':'TASK_RUNNING',"
	  "'uuid':'AAECAwQFBgcICQoLDA0ODw=='}}]}}" },
	{ "update", &mesos_v1_executor_Call_json,
	  "0a030a0165120b0a09396131622d3030303018022a220a200a080a06736973652e31100048025a100001020304050607"
	  "08090a0b0c0d0e0f",
	  "{'executor_id':{'value':'e'},'framework_id':{'value':'9a1b-0000'},'type':'UPDATE',"
	  "'update':{'status':{'task_id':{'value':'sise.1'},'state':'TASK_STARTING',"
	  "'source':'SOURCE_EXECUTOR','uuid':'AAECAwQFBgcICQoLDA0ODw=='}}}" },
	{ "message", &mesos_v1_executor_Call_json,
	  "0a030a0165120b0a09396131622d303030301803320412026869",
	  "{'executor_id':{'value':'e'},'framework_id':{'value':'9a1b-0000'},'type':'MESSAGE',"
	  "'message':{'data':'aGk='}}" },
	{ "heartbeat", &mesos_v1_executor_Call_json,
	  "0a030a0165120b0a09396131622d303030301804",
	  "{'executor_id':{'value':'e'},'framework_id':{'value':'9a1b-0000'},'type':'HEARTBEAT'}" },
	/* ---- executor: Event ---- */
	{ "subscribed", &mesos_v1_executor_Event_json,
	  "08011282010a410a030a01652a230a046370757310001a09099a9999999999b93f5a0e0a0c736c6176655f7075626c69"
	  "63420b0a09396131622d303030306a060880e497d012780212210a04726f6f741201661a0b0a09396131622d30303030"
	  "21000000000000000028011a120a02613132090a07396131622d533140bb2722060a0435653366",
	  "{'type':'SUBSCRIBED','subscribed':{'executor_info':{'executor_id':{'value':'e'},"
	  "'resources':[{'name':'cpus','type':'SCALAR','scalar':{'value':0.1},"
	  "'allocation_info':{'role':'slave_public'}}],'framework_id':{'value':'9a1b-0000'},"
	  "'shutdown_grace_period':{'nanoseconds':5000000000},'type':'CUSTOM'},"
	  "'framework_info':{'user':'root','name':'f','id':{'value':'9a1b-0000'},'failover_timeout':0.0,"
	  "'checkpoint':true},'agent_info':{'hostname':'a1','id':{'value':'9a1b-S1'},'port':5051},"
	  "'container_id':{'value':'5e3f'}}}" },
	{ "launch", &mesos_v1_executor_Event_json,
	  "08022288010a85010a017412080a06736973652e311a090a07396131622d53314a3c08022a100a0e08021a080a06616c"
	  "70696e652001420a1a0608f50708900840014a120a10080a10ffffffffffffffffff0118800852060a04081810506a29"
	  "0801120a0a081a04747275653001210000000000002e4029000000000000244031000000000000344072020801",
	  "{'type':'LAUNCH','launch':{'task':{'name':'t','task_id':{'value':'sise.1'},"
	  "'agent_id':{'value':'9a1b-S1'},'container':{'type':'MESOS','mesos':{'image':{'type':'DOCKER',"
	  "'docker':{'name':'alpine'},'cached':true}},"
	  "'linux_info':{'effective_capabilities':{'capabilities':['NET_RAW','CHECKPOINT_RESTORE']},"
	  "'share_cgroups':true},'rlimit_info':{'rlimits':[{'type':'RLMT_NOFILE',"
	  "'hard':18446744073709551615,'soft':1024}]},'tty_info':{'window_size':{'rows':24,'columns':80}}},"
	  "'check':{'type':'COMMAND','command':{'command':{'value':'true','shell':true}},"
	  "'delay_seconds':15.0,'interval_seconds':10.0,'timeout_seconds':20.0},"
	  "'max_completion_time':{'nanoseconds':1}}}}" },
	{ "launch_group", &mesos_v1_executor_Event_json,
	  "0808421c0a1a0a180a017412080a06736973652e311a090a07396131622d5331",
	  "{'type':'LAUNCH_GROUP','launch_group':{'task_group':{'tasks':[{'name':'t',"
	  "'task_id':{'value':'sise.1'},'agent_id':{'value':'9a1b-S1'}}]}}}" },
	{ "kill", &mesos_v1_executor_Event_json,
	  "08032a0a0a080a06736973652e31",
	  "{'type':'KILL','kill':{'task_id':{'value':'sise.1'}}}" },
	{ "acknowledged", &mesos_v1_executor_Event_json,
	  "08041a1c0a080a06736973652e311210000102030405060708090a0b0c0d0e0f",
	  "{'type':'ACKNOWLEDGED','acknowledged':{'task_id':{'value':'sise.1'},"
	  "'uuid':'AAECAwQFBgcICQoLDA0ODw=='}}" },
	{ "shutdown", &mesos_v1_executor_Event_json,
	  "0807",
	  "{'type':'SHUTDOWN'}" },
};

static struct str bytes_of(struct arena *a, const char *hex)
{
	size_t n = strlen(hex) / 2;
	uint8_t *bytes = arena_alloc(a, n);
	for (size_t i = 0; i < n; i++) {
		char digits[3] = { hex[2 * i], hex[2 * i + 1], '\0' };
		bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	return str_n((const char *)bytes, n);
}

static const char *json_of(struct arena *a, const struct golden *g)
{
	char *text = arena_strdup(a, g->json);
	for (char *p = text; *p; p++)
		if (*p == '\'')
			*p = '"';
	return text;
}

TEST(mesos_messages, protobuf_reads_as_the_json_of_mesos)
{
	for (size_t i = 0; i < ARRAY_LEN(goldens); i++) {
		const struct golden *g = &goldens[i];
		AUTO_ARENA struct arena a = ARENA_INIT;
		AUTO_BUF struct buf out = BUF_INIT;
		struct err e;
		void *msg = arena_alloc(&a, g->type->size);
		if (pb_read(&a, g->type->desc, bytes_of(&a, g->hex), msg, &e) != 0)
			FAIL("%s: %s", g->name, e.text);
		EQ_INT(pb_json_write(&out, g->type, msg), 0);
		EQ_STR(buf_cstr(&out), json_of(&a, g));
	}
}

TEST(mesos_messages, json_of_mesos_writes_as_the_same_protobuf)
{
	for (size_t i = 0; i < ARRAY_LEN(goldens); i++) {
		const struct golden *g = &goldens[i];
		AUTO_ARENA struct arena a = ARENA_INIT;
		AUTO_BUF struct buf out = BUF_INIT;
		struct err e;
		void *msg = arena_alloc(&a, g->type->size);
		const char *json = json_of(&a, g);
		struct str want = bytes_of(&a, g->hex);
		if (pb_json_parse(&a, g->type, json, strlen(json), msg, &e) != 0)
			FAIL("%s: %s", g->name, e.text);
		EQ_INT(pb_write(g->type->desc, msg, &out, &e), 0);
		if (!str_eq(buf_view(&out), want))
			FAIL("%s: %zu bytes differ from the golden %zu", g->name, out.len, want.len);
	}
}

TEST(mesos_messages, bytes_cut_short_are_refused_or_a_shorter_message)
{
	for (size_t i = 0; i < ARRAY_LEN(goldens); i++) {
		const struct golden *g = &goldens[i];
		AUTO_ARENA struct arena a = ARENA_INIT;
		struct str all = bytes_of(&a, g->hex);
		void *msg = arena_alloc(&a, g->type->size);
		for (size_t n = 0; n < all.len; n++) {
			struct err e = { 0 };
			struct str cut = str_n(test_edge(all.p, n), n);
			int rc = pb_read(&a, g->type->desc, cut, msg, &e);
			TRUE(rc == 0 || (rc == E_MALFORMED && e.text[0]));
		}
	}
}
