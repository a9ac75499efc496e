// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Committee} from "./libraries/Committee.sol";
import {Rounds} from "./Rounds.sol";

/// @title Appeals: a bigger committee for a bond (P3.6)
abstract contract Appeals is Rounds {
    /// @notice See IMarket.
    function appeal(bytes32 id, uint256 place) external {
        Job storage job = _jobs[id];
        _requireState(id, job, State.Scored);
        _requireBefore(job.deadline);
        uint8 number = job.round;
        if (number == _LAST_ROUND) revert LastRound(id);
        bool isParty = msg.sender == job.requester || _laneOf(job, msg.sender) < job.lanes;
        if (!isParty && !_isSeated(job.rounds[number], place, msg.sender)) revert NotParty(msg.sender, id);
        uint96 bond = _appealBond(job, ++number);
        _lock(msg.sender, bond);
        job.locked += bond;
        Round storage round = job.rounds[number];
        (round.appellant, round.appealBond) = (msg.sender, bond);
        emit Locked(id, msg.sender, Purpose.AppealBond, bond);
        emit Appealed(id, number, msg.sender, bond);
        _startRound(id, job);
    }

    /// @dev max(2 * size * f, 10 % of V) in round 2, 15 % in round 3 (P3.6).
    function _appealBond(Job storage job, uint8 number) private view returns (uint96) {
        uint256 value;
        for (uint256 lane; lane < job.lanes; ++lane) {
            value += job.lane[lane].price;
        }
        uint256 byFees = 2 * uint256(Committee.sizeOf(job.committee, number)) * job.fee;
        uint256 byValue = value * (number == 2 ? 10 : 15) / 100;
        // fees are below S/32 and V below 2S, or there would be no job
        return uint96(byFees > byValue ? byFees : byValue);
    }
}
