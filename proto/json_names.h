/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages that have a JSON form: all of the API, and only they. A row makes M_json of net/pb_json.h; a message a row's fields
 * mention needs a row too (the compiler misses its M_json). MAP: the entry nanopb makes of a map<string, ...> field.
 */
#pragma once

#include "proto/keyval.pb.h"
#include "proto/mesos.pb.h"
#include "proto/mesos_executor.pb.h"
#include "proto/mesos_scheduler.pb.h"

#define MESOS_JSON_MESSAGES(MESSAGE, MAP) \
	MESSAGE(mesos_v1_FrameworkID) MESSAGE(mesos_v1_OfferID) MESSAGE(mesos_v1_AgentID) MESSAGE(mesos_v1_TaskID) \
	MESSAGE(mesos_v1_ExecutorID) MESSAGE(mesos_v1_ContainerID) MESSAGE(mesos_v1_ResourceProviderID) \
	MESSAGE(mesos_v1_OperationID) MESSAGE(mesos_v1_UUID) MESSAGE(mesos_v1_TimeInfo) \
	MESSAGE(mesos_v1_DurationInfo) MESSAGE(mesos_v1_Address) MESSAGE(mesos_v1_Parameter) \
	MESSAGE(mesos_v1_Parameters) MESSAGE(mesos_v1_URL) MESSAGE(mesos_v1_Label) MESSAGE(mesos_v1_Labels) \
	MESSAGE(mesos_v1_Unavailability) MESSAGE(mesos_v1_DomainInfo) MESSAGE(mesos_v1_DomainInfo_FaultDomain) \
	MESSAGE(mesos_v1_DomainInfo_FaultDomain_RegionInfo) MESSAGE(mesos_v1_DomainInfo_FaultDomain_ZoneInfo) \
	MESSAGE(mesos_v1_Credential) MESSAGE(mesos_v1_Secret) MESSAGE(mesos_v1_Secret_Reference) \
	MESSAGE(mesos_v1_Secret_Value) MESSAGE(mesos_v1_Environment) MESSAGE(mesos_v1_Environment_Variable) \
	MESSAGE(mesos_v1_Value) MESSAGE(mesos_v1_Value_Scalar) MESSAGE(mesos_v1_Value_Range) \
	MESSAGE(mesos_v1_Value_Ranges) MESSAGE(mesos_v1_Value_Set) MESSAGE(mesos_v1_Value_Text) \
	MESSAGE(mesos_v1_Attribute) MESSAGE(mesos_v1_Image) MESSAGE(mesos_v1_Image_Appc) \
	MESSAGE(mesos_v1_Image_Docker) MESSAGE(mesos_v1_MountPropagation) MESSAGE(mesos_v1_Volume) \
	MESSAGE(mesos_v1_Volume_Source) MESSAGE(mesos_v1_Volume_Source_DockerVolume) \
	MESSAGE(mesos_v1_Volume_Source_HostPath) MESSAGE(mesos_v1_Volume_Source_SandboxPath) \
	MESSAGE(mesos_v1_Volume_Source_CSIVolume) MESSAGE(mesos_v1_Volume_Source_CSIVolume_VolumeCapability) \
	MESSAGE(mesos_v1_Volume_Source_CSIVolume_VolumeCapability_BlockVolume) \
	MESSAGE(mesos_v1_Volume_Source_CSIVolume_VolumeCapability_MountVolume) \
	MESSAGE(mesos_v1_Volume_Source_CSIVolume_VolumeCapability_AccessMode) \
	MESSAGE(mesos_v1_Volume_Source_CSIVolume_StaticProvisioning) \
	MAP(mesos_v1_Volume_Source_CSIVolume_StaticProvisioning_NodeStageSecretsEntry) \
	MAP(mesos_v1_Volume_Source_CSIVolume_StaticProvisioning_NodePublishSecretsEntry) \
	MAP(mesos_v1_Volume_Source_CSIVolume_StaticProvisioning_VolumeContextEntry) MESSAGE(mesos_v1_Resource) \
	MESSAGE(mesos_v1_Resource_AllocationInfo) MESSAGE(mesos_v1_Resource_ReservationInfo) \
	MESSAGE(mesos_v1_Resource_DiskInfo) MESSAGE(mesos_v1_Resource_DiskInfo_Persistence) \
	MESSAGE(mesos_v1_Resource_DiskInfo_Source) MESSAGE(mesos_v1_Resource_DiskInfo_Source_Path) \
	MESSAGE(mesos_v1_Resource_DiskInfo_Source_Mount) MESSAGE(mesos_v1_Resource_RevocableInfo) \
	MESSAGE(mesos_v1_Resource_SharedInfo) MESSAGE(mesos_v1_NetworkInfo) MESSAGE(mesos_v1_NetworkInfo_IPAddress) \
	MESSAGE(mesos_v1_NetworkInfo_PortMapping) MESSAGE(mesos_v1_CapabilityInfo) MESSAGE(mesos_v1_SeccompInfo) \
	MESSAGE(mesos_v1_LinuxInfo) MESSAGE(mesos_v1_RLimitInfo) MESSAGE(mesos_v1_RLimitInfo_RLimit) \
	MESSAGE(mesos_v1_TTYInfo) MESSAGE(mesos_v1_TTYInfo_WindowSize) MESSAGE(mesos_v1_ContainerInfo) \
	MESSAGE(mesos_v1_ContainerInfo_DockerInfo) MESSAGE(mesos_v1_ContainerInfo_DockerInfo_PortMapping) \
	MESSAGE(mesos_v1_ContainerInfo_MesosInfo) MESSAGE(mesos_v1_CgroupInfo) MESSAGE(mesos_v1_CgroupInfo_NetCls) \
	MESSAGE(mesos_v1_ContainerStatus) MESSAGE(mesos_v1_CommandInfo) MESSAGE(mesos_v1_CommandInfo_URI) \
	MESSAGE(mesos_v1_CheckInfo) MESSAGE(mesos_v1_CheckInfo_Command) MESSAGE(mesos_v1_CheckInfo_Http) \
	MESSAGE(mesos_v1_CheckInfo_Tcp) MESSAGE(mesos_v1_HealthCheck) MESSAGE(mesos_v1_HealthCheck_HTTPCheckInfo) \
	MESSAGE(mesos_v1_HealthCheck_TCPCheckInfo) MESSAGE(mesos_v1_KillPolicy) MESSAGE(mesos_v1_Port) \
	MESSAGE(mesos_v1_Ports) MESSAGE(mesos_v1_DiscoveryInfo) MESSAGE(mesos_v1_ExecutorInfo) \
	MESSAGE(mesos_v1_TaskInfo) MAP(mesos_v1_TaskInfo_LimitsEntry) MESSAGE(mesos_v1_TaskGroupInfo) \
	MESSAGE(mesos_v1_TaskResourceLimitation) MESSAGE(mesos_v1_CheckStatusInfo) \
	MESSAGE(mesos_v1_CheckStatusInfo_Command) MESSAGE(mesos_v1_CheckStatusInfo_Http) \
	MESSAGE(mesos_v1_CheckStatusInfo_Tcp) MESSAGE(mesos_v1_TaskStatus) MESSAGE(mesos_v1_OfferFilters) \
	MESSAGE(mesos_v1_OfferFilters_ResourceQuantities) \
	MAP(mesos_v1_OfferFilters_ResourceQuantities_QuantitiesEntry) \
	MESSAGE(mesos_v1_OfferFilters_MinAllocatableResources) MESSAGE(mesos_v1_FrameworkInfo) \
	MESSAGE(mesos_v1_FrameworkInfo_Capability) MAP(mesos_v1_FrameworkInfo_OfferFiltersEntry) \
	MESSAGE(mesos_v1_AgentInfo) MESSAGE(mesos_v1_MasterInfo) MESSAGE(mesos_v1_MasterInfo_Capability) \
	MESSAGE(mesos_v1_Filters) MESSAGE(mesos_v1_Offer) MESSAGE(mesos_v1_Offer_Operation) \
	MESSAGE(mesos_v1_Offer_Operation_Launch) MESSAGE(mesos_v1_Offer_Operation_LaunchGroup) \
	MESSAGE(mesos_v1_Offer_Operation_Reserve) MESSAGE(mesos_v1_Offer_Operation_Unreserve) \
	MESSAGE(mesos_v1_Offer_Operation_Create) MESSAGE(mesos_v1_Offer_Operation_Destroy) \
	MESSAGE(mesos_v1_Offer_Operation_GrowVolume) MESSAGE(mesos_v1_Offer_Operation_ShrinkVolume) \
	MESSAGE(mesos_v1_Offer_Operation_CreateDisk) MESSAGE(mesos_v1_Offer_Operation_DestroyDisk) \
	MESSAGE(mesos_v1_InverseOffer) MESSAGE(mesos_v1_OperationStatus) MESSAGE(mesos_v1_Request)

#define SCHEDULER_JSON_MESSAGES(MESSAGE, MAP) \
	MESSAGE(mesos_v1_scheduler_Event) MESSAGE(mesos_v1_scheduler_Event_Subscribed) \
	MESSAGE(mesos_v1_scheduler_Event_Offers) MESSAGE(mesos_v1_scheduler_Event_InverseOffers) \
	MESSAGE(mesos_v1_scheduler_Event_Rescind) MESSAGE(mesos_v1_scheduler_Event_RescindInverseOffer) \
	MESSAGE(mesos_v1_scheduler_Event_Update) MESSAGE(mesos_v1_scheduler_Event_UpdateOperationStatus) \
	MESSAGE(mesos_v1_scheduler_Event_Message) MESSAGE(mesos_v1_scheduler_Event_Failure) \
	MESSAGE(mesos_v1_scheduler_Event_Error) MESSAGE(mesos_v1_scheduler_AttributeConstraint) \
	MESSAGE(mesos_v1_scheduler_AttributeConstraint_Selector) \
	MESSAGE(mesos_v1_scheduler_AttributeConstraint_Predicate) \
	MESSAGE(mesos_v1_scheduler_AttributeConstraint_Predicate_Exists) \
	MESSAGE(mesos_v1_scheduler_AttributeConstraint_Predicate_NotExists) \
	MESSAGE(mesos_v1_scheduler_AttributeConstraint_Predicate_TextEquals) \
	MESSAGE(mesos_v1_scheduler_AttributeConstraint_Predicate_TextNotEquals) \
	MESSAGE(mesos_v1_scheduler_AttributeConstraint_Predicate_TextMatches) \
	MESSAGE(mesos_v1_scheduler_AttributeConstraint_Predicate_TextNotMatches) \
	MESSAGE(mesos_v1_scheduler_OfferConstraints) MESSAGE(mesos_v1_scheduler_OfferConstraints_RoleConstraints) \
	MESSAGE(mesos_v1_scheduler_OfferConstraints_RoleConstraints_Group) \
	MAP(mesos_v1_scheduler_OfferConstraints_RoleConstraintsEntry) MESSAGE(mesos_v1_scheduler_Call) \
	MESSAGE(mesos_v1_scheduler_Call_Subscribe) MESSAGE(mesos_v1_scheduler_Call_Accept) \
	MESSAGE(mesos_v1_scheduler_Call_Decline) MESSAGE(mesos_v1_scheduler_Call_AcceptInverseOffers) \
	MESSAGE(mesos_v1_scheduler_Call_DeclineInverseOffers) MESSAGE(mesos_v1_scheduler_Call_Revive) \
	MESSAGE(mesos_v1_scheduler_Call_Kill) MESSAGE(mesos_v1_scheduler_Call_Shutdown) \
	MESSAGE(mesos_v1_scheduler_Call_Acknowledge) MESSAGE(mesos_v1_scheduler_Call_AcknowledgeOperationStatus) \
	MESSAGE(mesos_v1_scheduler_Call_Reconcile) MESSAGE(mesos_v1_scheduler_Call_Reconcile_Task) \
	MESSAGE(mesos_v1_scheduler_Call_ReconcileOperations) \
	MESSAGE(mesos_v1_scheduler_Call_ReconcileOperations_Operation) MESSAGE(mesos_v1_scheduler_Call_Message) \
	MESSAGE(mesos_v1_scheduler_Call_Request) MESSAGE(mesos_v1_scheduler_Call_Suppress) \
	MESSAGE(mesos_v1_scheduler_Call_UpdateFramework)

#define EXECUTOR_JSON_MESSAGES(MESSAGE, MAP) \
	MESSAGE(mesos_v1_executor_Event) MESSAGE(mesos_v1_executor_Event_Subscribed) \
	MESSAGE(mesos_v1_executor_Event_Launch) MESSAGE(mesos_v1_executor_Event_LaunchGroup) \
	MESSAGE(mesos_v1_executor_Event_Kill) MESSAGE(mesos_v1_executor_Event_Acknowledged) \
	MESSAGE(mesos_v1_executor_Event_Message) MESSAGE(mesos_v1_executor_Event_Error) \
	MESSAGE(mesos_v1_executor_Call) MESSAGE(mesos_v1_executor_Call_Subscribe) \
	MESSAGE(mesos_v1_executor_Call_Update) MESSAGE(mesos_v1_executor_Call_Message)

#define KEYVAL_JSON_MESSAGES(MESSAGE, MAP) \
	MESSAGE(keyval_Op) MESSAGE(keyval_Change) MESSAGE(keyval_Changed) MESSAGE(keyval_List) MESSAGE(keyval_Call) \
	MESSAGE(keyval_Item) MESSAGE(keyval_Answer) MESSAGE(keyval_Event) MESSAGE(keyval_Events)

#define JSON_MESSAGES(MESSAGE, MAP) \
	KEYVAL_JSON_MESSAGES(MESSAGE, MAP) \
	MESOS_JSON_MESSAGES(MESSAGE, MAP) \
	SCHEDULER_JSON_MESSAGES(MESSAGE, MAP) \
	EXECUTOR_JSON_MESSAGES(MESSAGE, MAP)
